"""What a parent forks: runs of notebooks, or workers that do tasks."""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from . import process
from .preload import Imports
from .threads import n_threads


class Role(Protocol):
    """What makes the difference between parents.

    Attributes
    ----------
    grace_s : float
        Seconds that a fork has to end what it does when its client has gone.
    """

    grace_s: float

    def prepare(self) -> None:
        """Import and make what is the same for each fork."""

    def load(self, modules: list[str], *, installed_only: bool = True) -> None:
        """Import what a fork wants, as `Imports.load` does."""

    def why_not(self, wanted: dict[str, Any]) -> str:
        """Return why a fork would not do what it is to do, or ""."""

    def be(self, folder: Path) -> None:
        """Be the fork, of which the pipes are in ``folder``; never returns."""


class Runs:
    """Forks runs of notebooks."""

    grace_s = 0.0

    def __init__(self, imports: Imports) -> None:
        from .kernel import NO_HISTORY, App

        self._imports = imports
        self._app = App.instance()
        self._app.initialize([NO_HISTORY])

    def prepare(self) -> None:
        """Import what the kernel itself needs for a first cell, found in a fork."""
        from . import child

        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            with suppress(BaseException):
                child.rehearse(self._app)
            os.write(write, "\n".join(sys.modules).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            names = pipe.read().decode().split("\n")
        os.waitpid(pid, 0)
        self.load([name for name in names if name != "__main__"])

    def load(self, modules: list[str], *, installed_only: bool = True) -> None:
        """Import what a run wants, where cells find ``get_ipython``."""
        n_before = len(sys.modules)
        with self._app.shell.builtin_trap:
            self._imports.load(modules, installed_only=installed_only)
        if len(sys.modules) != n_before:
            self._app.note_modules()

    def why_not(self, wanted: dict[str, Any]) -> str:
        """Return what in the notebook's folder would be imported instead."""
        left_out = os.environ.get("_NBMLOPS_PYTHONPATH", "").split(os.pathsep)
        for entry in ("", *left_out):
            hidden = self._imports.hidden_by(Path(wanted["folder"], entry))
            if hidden:
                where = entry or "the notebook's folder"
                return f"{hidden} in {where} goes before an installed module"
        return ""

    def be(self, folder: Path) -> None:
        """Be a run."""
        from . import child

        child.run(self._app, self._imports, folder)


class Workers:
    """Forks processes that run a module, as ``python -P -m`` does."""

    grace_s = 15.0

    def __init__(self, imports: Imports, module: str) -> None:
        self._imports, self._module = imports, module
        self._is_fit = True

    def prepare(self) -> None:
        """Import the module, and have it make what all its processes need."""
        self.load([self._module], installed_only=False)
        prepare: Callable[[], None] | None
        prepare = getattr(sys.modules.get(self._module), "prepare", None)
        if prepare is not None:
            with self._imports.asking():
                prepare()
        self._is_fit = n_threads() == 1

    def load(self, modules: list[str], *, installed_only: bool = True) -> None:
        """Import what a worker wants."""
        self._imports.load(modules, installed_only=installed_only)

    def why_not(self, wanted: dict[str, Any]) -> str:
        """Return why this parent can have no workers."""
        return "" if self._is_fit else "its imports have started threads"

    def be(self, folder: Path) -> None:
        """Be a worker."""
        code = 1
        try:
            process.begin()
            append = os.O_WRONLY | os.O_APPEND
            for name, flags, fd in (
                ("words", append, 2),
                ("go", os.O_RDONLY, 0),
                ("out", os.O_WRONLY, 1),
            ):
                opened = os.open(folder / name, flags)
                os.dup2(opened, fd)
                os.close(opened)
            os.write(1, b"!")  # its ends of the pipes are open
            given = _read_line(0)
            other = self._imports.asked_otherwise(given["env"])
            if other:
                os.write(1, f"{other} was another at imports\n".encode())
            else:
                process.settle(given, self._imports.added)
                os.write(1, b"!")
                sys.modules.pop(self._module, None)
                runpy.run_module(self._module, run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:  # noqa: BLE001 - nothing is to see the parent's frames
            sys.excepthook(*sys.exc_info())
        finally:
            process.leave(code)


def _read_line(fd: int) -> dict[str, Any]:
    """Return the document that a pipe begins with; nothing follows it yet."""
    data = b""
    while not data.endswith(b"\n"):
        piece = os.read(fd, 1 << 16)
        if not piece:
            raise SystemExit(1)  # who asked for it has gone
        data += piece
    return dict(json.loads(data))
