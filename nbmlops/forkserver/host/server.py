"""The fork server: one thread that waits for requests and forks."""

from __future__ import annotations

import gc
import json
import math
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .notebook import NotebookForks
from .preload import Preload, Unfit
from .threads import ThreadLimits, n_threads
from .worker import WorkerForks

_LARGEST = 1 << 20
_MOST_FILES = 8


@dataclass(slots=True)
class _Run:
    """A fork that has not ended; its client is gone when it has no connection."""

    pid: int
    control: socket.socket | None
    until: float = math.inf


class _Stopped(Exception):  # noqa: N818 - not an error
    """Another server is to take over."""


class Server:
    """Forks runs until it is stopped, stale or idle."""

    def __init__(self, folder: Path, listener: int, idle_s: float, module: str) -> None:
        self._idle_s, self._busy_at = idle_s, time.monotonic()
        self._runs: dict[int, _Run] = {}
        self._n_runs = 0
        self._threads = ThreadLimits()
        self._is_open = True
        self._pid = os.getpid()
        self._selector = selectors.PollSelector()
        self._listener = socket.socket(fileno=listener)
        self._listener.set_inheritable(False)
        self._listener.listen()  # as this process, whose number its clients see
        woken, self._waker = socket.socketpair()
        for each, react in (
            (self._listener, self._accept),
            (woken, partial(woken.recv, 4096)),
        ):
            each.setblocking(False)
            self._selector.register(each, selectors.EVENT_READ, react)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._preload = Preload(folder)
        self._kind: NotebookForks | WorkerForks = (
            WorkerForks(self._preload, module)
            if module
            else NotebookForks(self._preload, folder)
        )
        self._kind.prepare()
        self._preload.note_files()
        _freeze_memory()

    def _end(self, *_: object) -> None:
        if os.getpid() != self._pid:
            os._exit(1)
        for run in self._runs.values():
            _kill(run, signal.SIGKILL)
        os._exit(0)

    def serve(self) -> None:
        """Serve, and leave when it is time."""
        self._busy_at = time.monotonic()
        while self._is_open or self._runs:
            left_s = self._busy_at + self._idle_s - time.monotonic()
            for key, _ in self._selector.select(1 if self._runs else max(left_s, 0)):
                react: Callable[[], object] = key.data
                with suppress(BlockingIOError):
                    react()
            for run in tuple(self._runs.values()):
                if time.monotonic() >= run.until:
                    _kill(run, signal.SIGKILL)
                self._reap(run)
            if self._runs:
                self._busy_at = time.monotonic()
            elif time.monotonic() > self._busy_at + self._idle_s:
                self._stop_accepting("idle")

    def _accept(self) -> None:
        if self._is_open:
            control, _ = self._listener.accept()
            control.setblocking(False)
            self._selector.register(
                control, selectors.EVENT_READ, partial(self._answer, control)
            )

    def _answer(self, control: socket.socket) -> None:
        """Answer the first message of a client."""
        data, files, _, _ = socket.recv_fds(control, _LARGEST, _MOST_FILES)
        request: dict[str, Any] = json.loads(data) if data else {}
        try:
            match request.get("type"):
                case "run":
                    self._begin(control, request, files)
                    return
                case "status":
                    _say(control, self._state())
                case "stop":
                    self._stop_accepting("stopped")
        finally:
            for fd in files:
                os.close(fd)
        self._hang_up(control)

    def _state(self) -> dict[str, object]:
        modules = {name.partition(".")[0] for name in self._preload.loaded}
        return {
            "python": sys.executable,
            "n_runs": self._n_runs,
            "n_running": len(self._runs),
            "idle_s": 0.0 if self._runs else time.monotonic() - self._busy_at,
            "modules": sorted(modules),
        }

    def _hang_up(self, control: socket.socket) -> None:
        self._selector.unregister(control)
        control.close()

    def _begin(
        self, control: socket.socket, wanted: dict[str, Any], files: list[int]
    ) -> None:
        """Fork a run, or answer why not."""
        try:
            why = self._prepare(wanted)
        except (Unfit, _Stopped) as reason:
            self._stop_accepting(str(reason))
            _say(control, {"type": "again", "why": str(reason)})
            self._hang_up(control)
        else:
            if why:
                _say(control, {"type": "refused", "why": why})
                self._hang_up(control)
            else:
                self._fork(control, files)

    def _prepare(self, wanted: dict[str, Any]) -> str:
        """Import what a run wants; return why it cannot be forked, or ""."""
        if not self._is_open:
            raise _Stopped("it takes no more")
        edited = self._preload.edited()
        if edited:
            raise _Stopped(f"{edited} has changed")
        n_before = len(self._preload.loaded)
        self._kind.load(wanted["modules"], installed_only=not wanted["chosen"])
        self._preload.note_files()
        why = self._kind.why_not(wanted)
        if why:
            return why
        if not self._threads.set(blas=wanted["blas"], openmp=wanted["openmp"]):
            return "its BLAS keeps threads"
        if n_threads() != 1:
            raise _Stopped("it has more than one thread")
        if len(self._preload.loaded) != n_before:
            _freeze_memory()
        return ""

    def _fork(self, control: socket.socket, files: list[int]) -> None:
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for key in tuple(self._selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr] # all are sockets
            self._waker.close()
            self._kind.run(files)
        run = self._runs[pid] = _Run(pid, control)
        self._n_runs += 1
        self._selector.modify(
            control, selectors.EVENT_READ, partial(self._obey, control, run)
        )
        _say(control, {"type": "accepted", "pid": pid})

    def _obey(self, control: socket.socket, run: _Run) -> None:
        """Send a run the signal that its client asks for; end it when that is gone."""
        if data := control.recv(_LARGEST):
            number = json.loads(data)["number"]
            if number == signal.SIGTERM:  # what it has begun is for itself to end
                os.kill(run.pid, number)
            else:
                _kill(run, number)
            return
        self._hang_up(control)
        run.control = None
        run.until = time.monotonic() + self._kind.grace_s
        if self._kind.grace_s:
            os.kill(run.pid, signal.SIGTERM)

    def _reap(self, run: _Run) -> None:
        # Looked at first, so that the number stays the run's while its group ends.
        if os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return
        _kill(run, signal.SIGKILL)
        _, status = os.waitpid(run.pid, 0)
        del self._runs[run.pid]
        if run.control is not None:
            code = os.waitstatus_to_exitcode(status)
            _say(run.control, {"type": "ended", "code": code})
            self._hang_up(run.control)

    def _stop_accepting(self, why: str) -> None:
        """Take no more requests; those that run are seen to their end."""
        if self._is_open:
            self._is_open = False
            os.write(2, f"{time.time():.0f} stopped: {why}\n".encode())
            self._hang_up(self._listener)


def _freeze_memory() -> None:
    """Have the collections of forks pass over what is here by now, and not copy it."""
    gc.collect()
    gc.freeze()


def _say(control: socket.socket, document: dict[str, object]) -> None:
    with suppress(OSError):  # the client has gone
        control.send(json.dumps(document).encode())


def _kill(run: _Run, number: int) -> None:
    with suppress(ProcessLookupError):
        try:
            os.killpg(run.pid, number)
        except ProcessLookupError:  # it has no group of its own yet
            os.kill(run.pid, number)
