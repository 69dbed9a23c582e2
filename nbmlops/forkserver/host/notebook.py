"""A notebook in a fork: set up as in a kernel process, then cell after cell."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tornado.ioloop import IOLoop

from . import process
from .kernel import NO_HISTORY, PIPE, App
from .preload import Preload


class _Requests:
    """What the client asks, line by line."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._rest = b""

    def read(self) -> dict[str, Any]:
        """Return the next request; an empty one when the client has gone."""
        while b"\n" not in self._rest:
            data = os.read(self.fd, 1 << 16)
            if not data:
                return {}
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return dict(json.loads(line))

    async def wait(self) -> dict[str, Any]:
        """Return the next request, while the loop goes on."""
        if b"\n" not in self._rest:
            loop = asyncio.get_running_loop()
            readable = loop.create_future()
            loop.add_reader(self.fd, _set_once, readable)
            try:
                await readable
            finally:
                loop.remove_reader(self.fd)
        return self.read()


def _set_once(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class NotebookForks:
    """What a server of notebooks does for its forks.

    A fork has ``grace_s`` to end what it does when its client has gone.
    """

    grace_s = 0.0

    def __init__(self, preload: Preload, folder: Path) -> None:
        self._preload, self._folder = preload, folder
        self._app = App.instance()
        self._app.initialize([NO_HISTORY])

    def prepare(self) -> None:
        """Import what the kernel itself needs for a first cell, found in a fork."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            with suppress(BaseException):
                asyncio.run(_rehearse(self._app))
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

    def run(self, files: list[int]) -> None:
        """Be the process of one run; never returns."""
        app = self._app

        def body() -> None:
            fds = process.begin(self._preload, files, {"stdout": 1, "stderr": 2})
            faulthandler.enable(fds["log"])
            PIPE.open(fds["out"])
            _complete_path(os.environ.get("PYTHONPATH", ""))
            launcher = sys.modules["ipykernel"].__path__[0] + "_launcher.py"
            connection_file = str(self._folder / "kernel.json")
            sys.argv = [launcher, "-f", connection_file, NO_HISTORY]
            app.begin(Path.cwd())
            app.start_up()
            PIPE.send({"type": "ready", "language_info": app.kernel.language_info})
            _loop(app, _Requests(fds["go"]))

        def last() -> None:
            PIPE.send({"type": "left"})
            PIPE.close()

        process.run(body, last)


async def _rehearse(app: App) -> None:
    """Run cells that have the kernel import all it needs for ordinary ones."""
    app.begin(Path("/"))
    app.kernel.io_loop = IOLoop.current()
    for source in ("1", "1 / 0", "import asyncio\nawait asyncio.sleep(0)"):
        await app.execute(source)


def _complete_path(given: str) -> None:
    """Add what the parent started without: entries in the project of the run."""
    entries = [os.path.abspath(e) for e in given.split(os.pathsep) if given]  # noqa: PTH100 - as `site` does
    sys.path[:] = dict.fromkeys([*entries, *sys.path])


def _loop(app: App, requests: _Requests) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_answer(app, requests))
    except RuntimeError:  # exit() stops a kernel's loop
        _leave_if_forked()
        if not app.shell.exit_now:
            raise
        while "source" in requests.read():
            pass


def _leave_if_forked() -> None:
    """End a process that the cell forked: the cells behind it are not for that."""
    if os.getpid() != PIPE.pid:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


async def _answer(app: App, requests: _Requests) -> None:
    app.kernel.io_loop = IOLoop.current()
    while source := (await requests.wait()).get("source"):
        await app.execute(source)
        _leave_if_forked()
        process.LIBC.fflush(None)
        PIPE.send({"type": "executed"})
