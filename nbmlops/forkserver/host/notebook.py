"""A notebook in a fork: set up as in a kernel process, then cell after cell."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import sys
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


def run(app: App, preload: Preload, folder: Path) -> None:
    """Be the process of one run; never returns."""

    def body() -> None:
        fds = process.connect(folder, preload, {"stdout": 1, "stderr": 2})
        faulthandler.enable(fds["log"])
        PIPE.open(fds["out"])
        _complete_path(os.environ.get("PYTHONPATH", ""))
        launcher = sys.modules["ipykernel"].__path__[0] + "_launcher.py"
        sys.argv = [launcher, "-f", str(folder / "kernel.json"), NO_HISTORY]
        app.begin(Path.cwd())
        app.start_up()
        PIPE.send({"type": "ready", "language_info": app.kernel.language_info})
        _loop(app, _Requests(fds["go"]))

    def last() -> None:
        PIPE.send({"type": "left"})
        PIPE.close()

    process.run(body, last)


def _complete_path(given: str) -> None:
    """Add what the parent started without: entries in the project of the run."""
    entries = [os.path.abspath(e) for e in given.split(os.pathsep) if given]  # noqa: PTH100 - as `site` does
    sys.path[:] = dict.fromkeys([*entries, *sys.path])


def rehearse(app: App) -> None:
    """Run cells that have the kernel import all it needs for ordinary ones."""
    app.begin(Path("/"))

    async def run() -> None:
        app.kernel.io_loop = IOLoop.current()
        for source in ("1", "1 / 0", "import asyncio\nawait asyncio.sleep(0)"):
            await app.execute(source)

    asyncio.run(run())


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
