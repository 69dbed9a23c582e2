"""The fork server: one thread that waits for requests and forks."""

from __future__ import annotations

import fcntl
import gc
import json
import math
import os
import select
import shutil
import signal
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .fork_kinds import ForkKind, NotebookForks, WorkerForks
from .preload import Preload, Unfit
from .threads import ThreadLimits, n_threads


@dataclass(slots=True)
class _Fork:
    """A fork that has not ended."""

    folder: Path
    life: int
    end: int
    pid: int = 0
    until: float = math.inf


class _Stopped(Exception):  # noqa: N818 - not an error
    """Another parent is to take over."""


class Server:
    """Forks runs until it is stopped, stale or idle."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._about: dict[str, Any] = json.loads((folder / "wanted.json").read_text())
        self._idle_s = float(self._about["idle_s"])
        self._runs: dict[int, _Fork] = {}
        self._n_runs = 0
        self._rest = b""
        self._lock: int | None = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._threads = ThreadLimits()
        self._is_open = True
        self._pid = os.getpid()

    def main(self) -> None:
        """Serve, and leave when it is time."""
        if not self._is_only():
            return
        control = self._folder / "control"
        control.unlink(missing_ok=True)
        os.mkfifo(control, 0o600)
        self._control = os.open(control, os.O_RDWR | os.O_NONBLOCK)
        self._woken, self._waker = os.pipe()
        for fd in (self._woken, self._waker):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._preload = Preload(self._folder)
        module = self._about.get("module")
        self._kind: ForkKind = (
            WorkerForks(self._preload, module)
            if module
            else NotebookForks(self._preload)
        )
        self._kind.prepare()
        self._preload.note_files()
        _freeze_memory()
        self._write_about("ready")
        self._serve()

    def _is_only(self) -> bool:
        """Take the lock; clients that test it hold it for a moment, too."""
        assert self._lock is not None  # noqa: S101
        for _ in range(100):
            with suppress(BlockingIOError):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            time.sleep(0.01)
        return False

    def _end(self, *_: object) -> None:
        if os.getpid() != self._pid:
            os._exit(1)
        for run in self._runs.values():
            _kill(run, signal.SIGKILL)
        os._exit(0)

    def _write_about(self, state: str) -> None:
        """Write what `nbmlops warm status` reads; what a successor writes stays."""
        if self._lock is None:
            return
        about = {
            "state": state,
            "pid": os.getpid(),
            "python": sys.executable,
            "started_at": self._about["started_at"],
            "n_runs": self._n_runs,
            "n_running": len(self._runs),
            "modules": sorted(
                {name.partition(".")[0] for name in self._preload.loaded}
            ),
        }
        draft = self._folder / "about.tmp"
        draft.write_text(json.dumps(about))
        draft.replace(self._folder / "about.json")

    def _serve(self) -> None:
        poll = select.poll()
        for fd in (self._control, self._woken):
            poll.register(fd, select.POLLIN)
        busy_at = time.monotonic()
        while self._is_open or self._runs:
            left = self._idle_s - (time.monotonic() - busy_at)
            if not self._runs and left <= 0:
                self._stop_accepting("idle")
            ready = dict(poll.poll(1000 * (1 if self._runs else max(left, 0))))
            if self._woken in ready:
                os.read(self._woken, 4096)
            if self._control in ready:
                self._read_requests(poll)
            for run in tuple(self._runs.values()):
                if run.life in ready and not self._obey(run):
                    poll.unregister(run.life)  # which would wake it all the time
                if time.monotonic() >= run.until:
                    _kill(run, signal.SIGKILL)
            self._reap(poll)
            if self._runs or ready:
                busy_at = time.monotonic()
            if not self._is_open and self._lock is not None:
                self._read_requests(poll)  # to answer those that come too late
                os.close(self._lock)
                self._lock = None

    def _read_requests(self, poll: select.poll) -> None:
        with suppress(BlockingIOError):
            self._rest += os.read(self._control, 1 << 16)
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            word, _, name = line.decode().partition(" ")
            if word == "stop":
                self._stop_accepting("stopped")
            elif word == "run" and name.isalnum():
                run = self._begin(self._folder / "runs" / name)
                if run is not None:
                    poll.register(run.life, select.POLLIN)

    def _begin(self, folder: Path) -> _Fork | None:
        """Fork a run, or answer why not."""
        with ExitStack() as opened:
            life, end = (
                os.open(folder / name, mode | os.O_NONBLOCK)
                for name, mode in (("life", os.O_RDONLY), ("end", os.O_WRONLY))
            )
            run = _Fork(folder, life, end)
            opened.callback(os.close, run.life)
            opened.callback(os.close, run.end)
            try:
                with suppress(BlockingIOError):
                    if not os.read(run.life, 1):  # the client has gone again
                        shutil.rmtree(folder, ignore_errors=True)
                        return None
                why = self._prepare(json.loads((folder / "wanted.json").read_text()))
            except (Unfit, _Stopped) as reason:
                self._stop_accepting(str(reason))
                _say(run, {"type": "again", "why": str(reason)})
                return None
            if why:
                _say(run, {"type": "refused", "why": why})
                return None
            opened.pop_all()
        return self._fork(run)

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

    def _fork(self, run: _Fork) -> _Fork:
        run.pid = os.fork()
        if run.pid == 0:
            signal.set_wakeup_fd(-1)
            for each in (run, *self._runs.values()):
                os.close(each.life)
                os.close(each.end)
            for fd in (self._control, self._woken, self._waker, self._lock):
                if fd is not None:
                    os.close(fd)
            self._kind.run(run.folder)
        self._runs[run.pid] = run
        self._n_runs += 1
        _say(run, {"type": "accepted", "pid": run.pid})
        self._write_about("ready")
        return run

    def _obey(self, run: _Fork) -> bool:
        """Send a run the signal that its client asks for; False when that is gone."""
        with suppress(BlockingIOError):
            asked = os.read(run.life, 64)
            if not asked:
                self._orphan(run)
                return False
            if b"k" in asked:
                _kill(run, signal.SIGKILL)
            elif b"i" in asked:
                _kill(run, signal.SIGINT)
            elif b"t" in asked:  # what it has begun is for itself to end
                os.kill(run.pid, signal.SIGTERM)
        return True

    def _orphan(self, run: _Fork) -> None:
        """Have a run end whose client has gone, and kill it when it does not."""
        shutil.rmtree(run.folder, ignore_errors=True)
        run.until = time.monotonic() + self._kind.grace_s
        if self._kind.grace_s:
            os.kill(run.pid, signal.SIGTERM)

    def _reap(self, poll: select.poll) -> None:
        for run in tuple(self._runs.values()):
            # Looked at first, so that the number stays the run's while its group ends.
            found = os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None:
                continue
            _kill(run, signal.SIGKILL)
            _, status = os.waitpid(run.pid, 0)
            _say(run, {"type": "ended", "code": os.waitstatus_to_exitcode(status)})
            with suppress(KeyError):
                poll.unregister(run.life)
            os.close(run.life)
            os.close(run.end)
            del self._runs[run.pid]
            self._write_about("ready")

    def _stop_accepting(self, why: str) -> None:
        """Take no more requests; those that run are seen to their end."""
        if not self._is_open:
            return
        self._is_open = False
        self._write_about("leaving")
        os.write(2, f"{time.time():.0f} stopped: {why}\n".encode())
        (self._folder / "control").unlink(missing_ok=True)


def _freeze_memory() -> None:
    """Have the collections of forks pass over what is here by now, and not copy it."""
    gc.collect()
    gc.freeze()


def _say(run: _Fork, document: dict[str, object]) -> None:
    with suppress(OSError):  # the client has gone
        os.write(run.end, json.dumps(document).encode() + b"\n")


def _kill(run: _Fork, number: int) -> None:
    with suppress(ProcessLookupError):
        try:
            os.killpg(run.pid, number)
        except ProcessLookupError:  # it has no group of its own yet
            os.kill(run.pid, number)


def main(folder: Path) -> None:
    """Run the server of ``folder``."""
    Server(folder).main()
