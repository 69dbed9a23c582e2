"""How a fork becomes a process of its own, and ends as an interpreter does."""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .preload import Preload

LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_FILES = ("log", "go", "out", "stdout", "stderr")  # as the client sends them
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP)


def begin(
    preload: Preload, files: Sequence[int], redirected: Mapping[str, int]
) -> dict[str, int]:
    """Leave the server's session, take its client's files and the state in them."""
    os.setsid()
    LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in _HANDLED:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    fds = dict(zip(_FILES, files, strict=False))
    for name, fd in redirected.items():
        os.dup2(fds[name], fd)
        os.close(fds[name])
        fds[name] = fd
    state = _read_line(fds["go"])
    other = preload.read_otherwise(state["env"])
    if other:
        say(fds["out"], {"type": "refused", "why": f"{other} was another at imports"})
        raise SystemExit(0)
    _take_on(state, preload.added)
    return fds


def say(fd: int, document: dict[str, object]) -> None:
    """Write a document as a line."""
    os.write(fd, json.dumps(document).encode() + b"\n")


def _read_line(fd: int) -> dict[str, Any]:
    """Return the document that a pipe begins with; nothing follows it yet."""
    data = b""
    while not data.endswith(b"\n"):
        piece = os.read(fd, 1 << 16)
        if not piece:
            raise SystemExit(1)  # who asked for it has gone
        data += piece
    return dict(json.loads(data))


def _take_on(state: dict[str, Any], set_by_imports: dict[str, str]) -> None:
    """Take on what the client's own process would have, and what no two share."""
    os.environ.clear()
    os.environ.update(set_by_imports | state["env"])
    time.tzset()
    os.umask(state["umask"])
    os.sched_setaffinity(0, state["cpus"])
    os.setpriority(os.PRIO_PROCESS, 0, state["nice"])
    for kind, limits in state["limits"]:
        resource.setrlimit(kind, tuple(limits))
    os.chdir(state["folder"])
    tempfile.tempdir = None
    for path, finder in tuple(sys.path_importer_cache.items()):
        if finder is None:  # a folder that was not there may be there now
            del sys.path_importer_cache[path]
    if "numpy.random" in sys.modules:  # Python's own is reseeded by a fork
        sys.modules["numpy.random"].seed()


def run(body: Callable[[], None], last: Callable[[], object] = lambda: None) -> None:
    """Run the body of a fork, and end as an interpreter does; never returns."""
    code = 1
    try:
        body()
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing is to see the parent's frames
        sys.excepthook(*sys.exc_info())
    steps: tuple[Callable[[], object], ...] = (
        threading._shutdown,  # type: ignore[attr-defined]
        atexit._run_exitfuncs,
        sys.stdout.flush,
        sys.stderr.flush,
    )
    for step in steps:
        try:
            step()
        except BaseException:  # noqa: BLE001 - the last frame
            sys.excepthook(*sys.exc_info())
    LIBC.fflush(None)
    last()
    os._exit(code)
