"""Tasks done in processes of this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast
from uuid import uuid4

import psutil

from nbmlops.forkserver.runtime_dir import ForkUnavailable
from nbmlops.forkserver.workers import Fork, expect, fork
from nbmlops.processes import python_command, python_environ

if TYPE_CHECKING:
    from nbmlops.engines._protocol import Engine, Worker

_log = logging.getLogger(__name__)

OF_RUN = "NBMLOPS_PIPELINE_RUN"
OF_WORKER = "NBMLOPS_PIPELINE_WORKER"
"""Variables by which the processes of a run, and of a worker, are told from others."""
_STOP_S = 15.0


class Process:
    """A process that does one task after the other.

    It is forked from a process that has imported what it needs, or else started; it
    ends when this process does, and leaves Ctrl-C to this process.
    """

    def __init__(
        self,
        module: str,
        env: Mapping[str, str],
        *,
        folder: str | None = None,
        must_fork: bool = False,
    ) -> None:
        self.token = uuid4().hex
        self._process, self._log = _begin(
            module, {**os.environ, **env, OF_WORKER: self.token}, folder, must_fork
        )
        self.task: object | None = None
        self.was_late = False
        self._late_at: float | None = None
        self._stop_at: float | None = None

    def fileno(self) -> int:
        """Return what becomes readable when it has answered or ended."""
        return cast("IO[bytes]", self._process.stdout).fileno()

    def give(self, task: object, *, limit_s: float | None = None) -> None:
        """Give it a task that can be pickled; when it is gone, that is its end."""
        self.task = task
        self._late_at = limit_s and time.monotonic() + limit_s
        stdin = cast("IO[bytes]", self._process.stdin)
        with contextlib.suppress(OSError):
            pickle.dump(task, stdin)
            stdin.flush()

    def answer(self) -> object | None:
        """Return its answer, after which it is free; None when it ended instead."""
        try:
            found: object = pickle.load(cast("IO[bytes]", self._process.stdout))  # noqa: S301 - our own worker
        except (EOFError, OSError, pickle.UnpicklingError):
            found = None
        self.task = self._late_at = None
        return found

    def look_at_clock(self) -> None:
        """Stop it when its task takes too long, and end it when that fails."""
        now = time.monotonic()
        is_late = self._late_at is not None and now > self._late_at
        if is_late and self._stop_at is None:
            self.was_late = True
            self.stop()
        if self._stop_at is not None and now > self._stop_at:
            self.kill()

    def interrupt(self) -> None:
        """Send it what Ctrl-C would, and its group."""
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """Have it interrupt its task, end what that has begun, and end."""
        if self._stop_at is None:
            self._stop_at = time.monotonic() + _STOP_S
            with contextlib.suppress(OSError):
                self._process.terminate()

    def kill(self) -> None:
        """End it, and the kernel it may have left behind."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> str:
        """Wait for its end, and return its last words."""
        with contextlib.suppress(OSError):
            cast("IO[bytes]", self._process.stdin).close()
        try:
            code = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        if code != 0:
            sweep(OF_WORKER, [self.token])
        cast("IO[bytes]", self._process.stdout).close()
        self._log.seek(0)
        words = self._log.read()[-20_000:].decode("utf-8", "replace").splitlines()
        self._log.close()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"{how}{f': {words[-1]}' if words else ''}"


def _begin(
    module: str, env: Mapping[str, str], folder: str | None, must_fork: bool
) -> tuple[subprocess.Popen[bytes] | Fork, IO[bytes]]:
    """Return a process that runs a module, and what it writes to stderr."""
    try:
        forked = fork(module, env, folder)
    except ForkUnavailable as reason:
        if must_fork:
            raise
        _log.info("%s is started again: %s.", module, reason)
    else:
        return forked, forked.log
    log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
    process = subprocess.Popen(  # noqa: S603 - fixed arguments
        python_command(module),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=python_environ(env, folder or Path.cwd()),
        cwd=folder,
    )
    return process, log


def sweep(variable: str, values: Sequence[str], *, grace_s: float = 0.0) -> None:
    """Kill the processes that carry a variable: kernels of workers that are gone."""
    if grace_s:
        psutil.wait_procs(list(_carrying(variable, values)), timeout=grace_s)
    for process in _carrying(variable, values):
        with contextlib.suppress(psutil.Error, OSError):
            process.kill()


def _carrying(variable: str, values: Sequence[str]) -> Iterator[psutil.Process]:
    me = os.getpid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != me and process.environ().get(variable) in values:
                yield process


class LocalEngine:
    """Starts processes on this machine."""

    @property
    def n_jobs(self) -> int:
        """As many as there are cores."""
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 2

    @property
    def n_beside(self) -> int:
        """All that there may be."""
        return sys.maxsize

    def expect(self, module: str, env: Mapping[str, str]) -> None:
        """Begin the process that workers are forked from."""
        expect(module, {**os.environ, **env})

    def start(self, module: str, env: Mapping[str, str]) -> Worker:
        """Return a process that runs a module."""
        return Process(module, env)

    def close(self) -> None:
        """Hold nothing."""


if TYPE_CHECKING:
    _: type[Engine] = LocalEngine


def serve(work: Callable[[Any, Callable[[object], None]], object]) -> None:
    """Do what stdin asks for, and answer on stdout, until stdin ends."""
    import queue
    import threading

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between the answers
    signal.signal(signal.SIGINT, lambda *_: None)
    tasks: queue.Queue[object | None] = queue.Queue()
    is_busy = threading.Event()

    def read() -> None:
        try:
            while True:
                tasks.put(pickle.load(sys.stdin.buffer))  # noqa: S301 - our own runner
        except (EOFError, OSError, pickle.UnpicklingError):
            tasks.put(None)
            if is_busy.is_set():  # the runner is gone: nobody waits for the answer
                os.kill(os.getpid(), signal.SIGTERM)

    def answer(document: object) -> None:
        with contextlib.suppress(OSError):  # who asked is gone, of which `read` hears
            pickle.dump(document, answers)
            answers.flush()

    threading.Thread(target=read, name="nbmlops-tasks", daemon=True).start()
    while (task := tasks.get()) is not None:
        is_busy.set()
        reply = work(task, answer)
        is_busy.clear()
        answer(reply)
