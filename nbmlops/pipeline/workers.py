"""Worker processes: what one of them does or suffers harms no other."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, cast
from uuid import uuid4

import psutil

from nbmlops.pipeline.tasks import Reply, Task

OF_RUN = "NBMLOPS_PIPELINE_RUN"
OF_WORKER = "NBMLOPS_PIPELINE_WORKER"
"""Variables by which the processes of a run, and of a worker, are told from others."""
_GRACE_S = 30.0
_STOP_S = 15.0


class Worker:
    """A process that does one task after the other.

    It is in the group of this process, so what kills that kills it; it ends when this
    process does; and it leaves Ctrl-C to this process.

    Parameters
    ----------
    module : str
        What it runs, as ``python -m`` does.
    env : Mapping of str to str
        Variables to add to its environment.

    Attributes
    ----------
    task : Task or None
        What it is doing.
    began_at : float
        When it began that, on the monotonic clock.
    """

    def __init__(self, module: str, env: Mapping[str, str]) -> None:
        self.token = uuid4().hex
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as it
        self._process = subprocess.Popen(  # noqa: S603 - fixed arguments
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **env, OF_WORKER: self.token},
        )
        self.task: Task | None = None
        self.began_at = 0.0
        self.was_late = False
        self._stop_at: float | None = None

    def fileno(self) -> int:
        """Return what becomes readable when it has answered or ended."""
        return cast("IO[bytes]", self._process.stdout).fileno()

    def give(self, task: Task) -> bool:
        """Give it a task; False when it is gone."""
        self.task, self.began_at = task, time.monotonic()
        stdin = cast("IO[bytes]", self._process.stdin)
        try:
            pickle.dump(task, stdin)
            stdin.flush()
        except OSError:
            return False
        return True

    def answer(self) -> Reply | None:
        """Return its answer; None when it ended instead."""
        try:
            found = pickle.load(cast("IO[bytes]", self._process.stdout))  # noqa: S301 - our own worker
        except (EOFError, OSError, pickle.UnpicklingError):
            return None
        return cast("Reply", found)

    def look_at_clock(self) -> None:
        """Stop it when its step takes too long, and end it when that fails."""
        now = time.monotonic()
        limit_s = self.task.step.timeout_s if self.task else None
        is_late = limit_s is not None and now - self.began_at > limit_s + _GRACE_S
        if is_late and self._stop_at is None:
            self.was_late = True
            self.stop()
        if self._stop_at is not None and now > self._stop_at:
            self.kill()

    def stop(self) -> None:
        """Have it interrupt its notebook, end its run and go."""
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
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        if self._process.returncode != 0:
            sweep(OF_WORKER, [self.token])
        cast("IO[bytes]", self._process.stdout).close()
        self._log.seek(0)
        words = self._log.read()[-20_000:].decode("utf-8", "replace").splitlines()
        self._log.close()
        code = self._process.returncode
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"{how}{f': {words[-1]}' if words else ''}"


def sweep(variable: str, values: Sequence[str]) -> None:
    """Kill the processes that carry a variable: kernels of workers that are gone.

    Parameters
    ----------
    variable : str
        Name of the variable.
    values : sequence of str
        Its values.
    """
    me = os.getpid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != me and process.environ().get(variable) in values:
                process.kill()


def serve(work: Callable[[Task], Reply]) -> None:
    """Do what stdin asks for, and answer on stdout, until stdin ends.

    Parameters
    ----------
    work : callable
        Given a `Task`, returns a `Reply`.
    """
    import queue
    import signal
    import threading

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between the answers
    signal.signal(signal.SIGINT, lambda *_: None)
    tasks: queue.Queue[Task | None] = queue.Queue()
    is_busy = threading.Event()

    def read() -> None:
        try:
            while True:
                tasks.put(pickle.load(sys.stdin.buffer))  # noqa: S301 - our own runner
        except (EOFError, OSError, pickle.UnpicklingError):
            tasks.put(None)
            if is_busy.is_set():  # the runner is gone: nobody waits for the answer
                os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=read, name="nbmlops-tasks", daemon=True).start()
    while (task := tasks.get()) is not None:
        is_busy.set()
        reply = work(task)
        is_busy.clear()
        try:
            pickle.dump(reply, answers)
            answers.flush()
        except OSError:
            return


def state_folder(home: Path) -> Path:
    """Return the folder of the runs that have workers now, or were killed."""
    return home / "pipelines" / "runs"
