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
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast
from uuid import uuid4

import psutil

from nbmlops.engines._protocol import WorkerExited
from nbmlops.forkserver.fork import ForkedProcess, fork, prestart
from nbmlops.forkserver.runtime_dir import ForkUnavailable
from nbmlops.processes import python_command, python_environ

if TYPE_CHECKING:
    from nbmlops.engines._protocol import Engine

_log = logging.getLogger(__name__)

OF_RUN = "NBMLOPS_PIPELINE_RUN"
OF_WORKER = "NBMLOPS_PIPELINE_WORKER"
"""Variables by which the processes of a run, and of a worker, are known from others."""
_STOP_S = 15.0
TICK_S = 0.5
_MOST = 1000


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
        self._token = uuid4().hex
        self._process, self._log = _begin(
            module, {**os.environ, **env, OF_WORKER: self._token}, folder, must_fork
        )
        with cast("IO[bytes]", self._process.stdout) as stdout:
            # Of a file, what is read ahead would be waited for in vain.
            self._answers = Connection(os.dup(stdout.fileno()), writable=False)
        self.was_late = False
        self._late_at: float | None = None
        self._kill_at: float | None = None

    def submit(self, task: object, *, limit_s: float | None = None) -> None:
        """Give it a task that can be pickled; a process that is gone answers none."""
        self._late_at = limit_s and time.monotonic() + limit_s
        stdin = cast("IO[bytes]", self._process.stdin)
        with contextlib.suppress(OSError):
            pickle.dump(task, stdin)
            stdin.flush()

    def wait(self, timeout_s: float) -> bool:
        """Return whether it has answered or ended; stop it when its time is up."""
        now = time.monotonic()
        if self._late_at is not None and now > self._late_at and not self._kill_at:
            self.was_late = True
            self.stop()
        if self._kill_at is not None and now > self._kill_at:
            self.kill()
        return self._answers.poll(timeout_s)

    def answer(self) -> object | None:
        """Return its answer, after which it is free; None when it ended instead."""
        try:
            found: object = self._answers.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            found = None
        self._late_at = None
        return found

    def interrupt(self) -> None:
        """Send it what Ctrl-C would, and its group."""
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """Have it interrupt its task, end what that has begun, and end."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + _STOP_S
            with contextlib.suppress(OSError):
                self._process.terminate()

    def kill(self) -> None:
        """End it, and the kernel it may have left behind."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> str:
        """Wait for its end, and return how it ended and the last line of its log."""
        with contextlib.suppress(OSError):
            cast("IO[bytes]", self._process.stdin).close()
        try:
            code = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        if code != 0:
            kill_orphans(OF_WORKER, [self._token])
        self._answers.close()
        self._log.seek(0)
        lines = self._log.read()[-20_000:].decode("utf-8", "replace").splitlines()
        self._log.close()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"{how}{f': {lines[-1]}' if lines else ''}"


def _begin(
    module: str, env: Mapping[str, str], folder: str | None, must_fork: bool
) -> tuple[subprocess.Popen[bytes] | ForkedProcess, IO[bytes]]:
    """Return a process that runs a module, and what it writes to stderr."""
    try:
        forked = fork(module, env, folder)
    except ForkUnavailable as reason:
        if must_fork:
            raise
        _log.info("%s is started, not forked: %s.", module, reason)
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


def kill_orphans(variable: str, values: Sequence[str], *, grace_s: float = 0.0) -> None:
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
    """Has tasks done by processes of this machine, each of which is used again."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_MOST, thread_name_prefix="nbmlops-worker")
        self._idle: list[Process] = []
        self._busy: set[Process] = set()
        self._is_stopped = False

    @property
    def n_jobs(self) -> int:
        """As many as there are cores."""
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 2

    @property
    def jobs_per_machine(self) -> int:
        """All that there may be."""
        return sys.maxsize

    def prestart(self, module: str, env: Mapping[str, str]) -> None:
        """Begin the process that workers are forked from."""
        if not self._idle:
            prestart(module, {**os.environ, **env})

    def submit(
        self,
        module: str,
        env: Mapping[str, str],
        task: object,
        *,
        limit_s: float | None = None,
    ) -> Future[object]:
        """Have a task done by a process that is free, or by a new one."""
        return self._threads.submit(self._run, module, env, task, limit_s)

    def _run(
        self, module: str, env: Mapping[str, str], task: object, limit_s: float | None
    ) -> object:
        process = self._idle.pop() if self._idle else Process(module, env)
        self._busy.add(process)
        try:
            process.submit(task, limit_s=limit_s)
            while not process.wait(TICK_S):
                if self._is_stopped:
                    process.stop()
            answer = process.answer()
        finally:
            self._busy.discard(process)
        if answer is None:
            raise WorkerExited(process.close(), was_late=process.was_late)
        self._idle.append(process)
        return answer

    def stop(self) -> None:
        """Stop all processes that do something."""
        self._is_stopped = True
        for process in tuple(self._busy):
            process.stop()

    def close(self) -> None:
        """End all processes."""
        self.stop()
        self._threads.shutdown()
        while self._idle:
            self._idle.pop().close()


if TYPE_CHECKING:
    _: type[Engine] = LocalEngine


def serve(work: Callable[[Any, Callable[[object], None]], object]) -> None:
    """Do what stdin asks for, and answer on stdout, until stdin ends."""
    import queue
    import threading

    answers = Connection(os.dup(1), readable=False)
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
            answers.send(document)

    threading.Thread(target=read, name="nbmlops-tasks", daemon=True).start()
    while (task := tasks.get()) is not None:
        is_busy.set()
        reply = work(task, answer)
        is_busy.clear()
        answer(reply)
