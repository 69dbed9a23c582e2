"""A fork becomes a process of its own, and ends as an interpreter does."""

from __future__ import annotations

import atexit
import ctypes
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP)


def begin() -> None:
    """Leave the parent's session and signals, and end when it does."""
    os.setsid()
    LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in _HANDLED:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def settle(given: dict[str, Any], set_by_imports: dict[str, str]) -> None:
    """Take on what the client's own process would have, and what no two share."""
    os.environ.clear()
    os.environ.update(set_by_imports | given["env"])
    time.tzset()
    os.umask(given["umask"])
    os.sched_setaffinity(0, given["cpus"])
    os.setpriority(os.PRIO_PROCESS, 0, given["nice"])
    for kind, limits in given["limits"]:
        resource.setrlimit(kind, tuple(limits))
    os.chdir(given["folder"])
    tempfile.tempdir = None
    for path, finder in tuple(sys.path_importer_cache.items()):
        if finder is None:  # a folder that was not there may be there now
            del sys.path_importer_cache[path]
    if "numpy.random" in sys.modules:  # Python's own is reseeded by a fork
        sys.modules["numpy.random"].seed()


def leave(code: int, last: Callable[[], object] | None = None) -> None:
    """End as an interpreter does, less taking its modules apart."""
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
    if last is not None:
        last()
    os._exit(code)
