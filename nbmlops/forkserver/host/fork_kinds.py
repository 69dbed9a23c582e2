"""What a fork server forks: runs of notebooks, or workers that do tasks."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from . import process
from .preload import Preload
from .threads import n_threads


class ForkKind(Protocol):
    """What differs between servers of notebooks and of workers.

    Attributes
    ----------
    grace_s : float
        Seconds that a fork has to end what it does when its client has gone.
    """

    grace_s: float

    def prepare(self) -> None:
        """Import and make what is the same for each fork."""

    def load(self, modules: list[str], *, installed_only: bool = True) -> None:
        """Import what a fork wants, as `Preload.load` does."""

    def why_not(self, wanted: dict[str, Any]) -> str:
        """Return why a fork would not do what it is to do, or ""."""

    def run(self, folder: Path) -> None:
        """Be the fork, of which the pipes are in ``folder``; never returns."""


class NotebookForks:
    """Forks runs of notebooks."""

    grace_s = 0.0

    def __init__(self, preload: Preload) -> None:
        from .kernel import NO_HISTORY, App

        self._preload = preload
        self._app = App.instance()
        self._app.initialize([NO_HISTORY])

    def prepare(self) -> None:
        """Import what the kernel itself needs for a first cell, found in a fork."""
        from . import notebook

        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            with suppress(BaseException):
                notebook.rehearse(self._app)
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
            self._preload.load(modules, installed_only=installed_only)
        if len(sys.modules) != n_before:
            self._app.note_modules()

    def why_not(self, wanted: dict[str, Any]) -> str:
        """Return what in the notebook's folder would be imported instead."""
        left_out = os.environ.get("_NBMLOPS_PYTHONPATH", "").split(os.pathsep)
        for entry in ("", *left_out):
            hidden = self._preload.hidden_by(Path(wanted["folder"], entry))
            if hidden:
                where = entry or "the notebook's folder"
                return f"{hidden} in {where} goes before an installed module"
        return ""

    def run(self, folder: Path) -> None:
        """Run a notebook."""
        from . import notebook

        notebook.run(self._app, self._preload, folder)


class WorkerForks:
    """Forks processes that run a module, as ``python -P -m`` does."""

    grace_s = 15.0

    def __init__(self, preload: Preload, module: str) -> None:
        self.load = preload.load
        self._preload, self._module = preload, module
        self._is_fit = True

    def prepare(self) -> None:
        """Import the module, and have it make what all its processes need."""
        self.load([self._module], installed_only=False)
        prepare: Callable[[], None] | None
        prepare = getattr(sys.modules.get(self._module), "prepare", None)
        if prepare is not None:
            with self._preload.noting_variables():
                prepare()
        self._is_fit = n_threads() == 1

    def why_not(self, wanted: dict[str, Any]) -> str:
        """Return why this server can have no workers."""
        return "" if self._is_fit else "its imports have started threads"

    def run(self, folder: Path) -> None:
        """Run the module."""

        def body() -> None:
            process.connect(folder, self._preload, {"log": 2, "go": 0, "out": 1})
            process.say(1, {"type": "ready"})
            sys.modules.pop(self._module, None)
            runpy.run_module(self._module, run_name="__main__", alter_sys=True)

        process.run(body)
