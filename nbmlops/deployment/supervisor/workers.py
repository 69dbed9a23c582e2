"""The workers of endpoints, as their supervisor sees them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

import psutil

from nbmlops.deployment import control
from nbmlops.deployment.supervisor.connections import KeptConnections, Waiting
from nbmlops.deployment.supervisor.counts import RecentCounts
from nbmlops.errors import DeployError, NbmlopsError
from nbmlops.processes import python_command, python_environ
from nbmlops.processes.channel import AsyncChannel, Document
from nbmlops.processes.process_id import ProcessId
from nbmlops.serving import worker
from nbmlops.serving.log import leave_log, redirect
from nbmlops.serving.worker import WorkerSpec

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP)
_STOP_S = 12.0
_N_LOOKS, _LOOK_S = 200, 0.005
_KILLED, _GONE = "signal SIGKILL", "it is gone"


class WorkerProcess(RecentCounts):
    """One worker; ``ready`` is done when it could answer, ``ended`` when it is gone."""

    def __init__(
        self,
        spec: WorkerSpec,
        process: ProcessId,
        channel: AsyncChannel,
        on_end: Callable[[WorkerProcess], None],
        on_snapshot: Callable[[WorkerProcess], None] = lambda _: None,
        connections: KeptConnections | None = None,
    ) -> None:
        super().__init__()
        self._connections = connections
        self._on_snapshot = on_snapshot
        self.spec, self.process = spec, process
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended, self.drains = asyncio.Event(), asyncio.Event()
        self.is_accepting = self.is_stopping = False
        self.refusal: Document | None = None
        self.ended_by = ""
        self._channel, self._on_end = channel, on_end
        self._task = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        try:
            await self._follow()
        finally:  # also when the supervisor ends, and somebody waits for this one
            self.drains.set()
            self.ended.set()
        if not self.ready.done():
            self.ready.set_exception(self._failure())
            self.ready.exception()  # nobody may be waiting for it
        self._on_end(self)
        if self._connections:
            self._connections.close()

    async def _follow(self) -> None:
        while (document := await self._channel.next()) is not None:
            match document["type"]:
                case "ready":
                    if not self.ready.done():
                        self.ready.set_result(None)
                case "draining":
                    self.drains.set()
                case "failed":
                    self.refusal = document
                case "snapshot" | "drained":
                    self.count(document)
                    self._on_snapshot(self)
                    if self._connections:
                        self._connections.forget_closed()
        self._channel.close()
        self.ended_by = await self._exit_reason()

    def take_waiting(self) -> list[Waiting]:
        """Return the connections that wait for the next worker, once it has ended."""
        return self._connections.take_waiting() if self._connections else []

    @property
    def processes(self) -> tuple[ProcessId, ...]:
        """Its process."""
        return (self.process,)

    async def _exit_reason(self) -> str:
        """Return how it ended; its connection may have been closed just before."""
        pid = self.process.pid
        for _ in range(_N_LOOKS):
            if (reason := exit_reason(pid)) != _GONE or not psutil.pid_exists(pid):
                return reason
            await asyncio.sleep(_LOOK_S)
        return _GONE

    @property
    def has_crashed(self) -> bool:
        """Whether its own code ended it, not somebody who killed it."""
        was_ready = self.ready.done() and self.ready.exception() is None
        return not was_ready or not self.ended_by.startswith((_KILLED, _GONE))

    def _failure(self) -> NbmlopsError:
        target = f"{self.spec.model}/{self.spec.version}"
        if self.refusal:
            return control.read_error(self.refusal)
        return DeployError(
            f"The process of {target} ended ({self.ended_by}).",
            fix=f"See that {target} predicts rows as it was logged with, then deploy "
            "again.",
        )

    def accept(self) -> None:
        """Have it take connections."""
        self.is_accepting = True
        self._channel.tell({"type": "accept"})

    def tell(self, document: Document) -> None:
        """Send it a document."""
        self._channel.tell(document)

    def stop(self, *, closes_idle: bool = False) -> None:
        """Have it answer what it has begun, and end.

        Who keeps a connection to it gets one more answer, unless idle ones are closed.
        """
        self.is_stopping = True
        self._channel.tell({"type": "stop", "closes_idle": closes_idle})

    async def killed(self) -> None:
        """End it now, and return when it is gone."""
        self.is_stopping = True
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        await self.ended.wait()

    async def stopped(self) -> None:
        """Stop it, and return when it is gone."""
        self.stop(closes_idle=True)  # nobody takes over
        try:
            await asyncio.wait_for(self.ended.wait(), _STOP_S)
        except TimeoutError:
            await self.killed()


def fork(
    spec: WorkerSpec,
    listener: socket.socket,
    folder: Path,
    on_end: Callable[[WorkerProcess], None],
    on_snapshot: Callable[[WorkerProcess], None],
    waiting: Sequence[Waiting] = (),
) -> WorkerProcess:
    """Return a worker that loads its model, and then waits for `accept`."""
    ours, theirs = socket.socketpair()
    kept = KeptConnections(waiting)
    files: tuple[int, ...] = (listener.fileno(), theirs.fileno())
    if spec.python:
        body = partial(_run_other_python, spec, files, folder)
    else:
        reconnect = partial(control.reconnect, folder)
        body = partial(_run, spec, listener, theirs, reconnect, kept)
        files += kept.files
    pid = fork_child(f"nbmlops {spec.endpoint}", body, files)
    theirs.close()
    kept.begin()
    channel = AsyncChannel(ours)
    process = ProcessId.of(pid)
    return WorkerProcess(spec, process, channel, on_end, on_snapshot, kept)


def _run(
    spec: WorkerSpec,
    listener: socket.socket,
    control_end: socket.socket,
    reconnect: Callable[[], socket.socket | None],
    kept: KeptConnections,
) -> int:
    return worker.run(spec, listener, control_end, reconnect, kept.in_worker())


def _run_other_python(spec: WorkerSpec, files: Sequence[int], folder: Path) -> int:
    """Go on as the worker of another environment."""
    document = {
        "spec": spec.document,
        "listener": files[0],
        "control": files[1],
        "supervisor": python_command("nbmlops.deployment.control", str(folder)),
    }
    redirect(Path(spec.folder, "log.txt"))
    read_end, write_end = os.pipe()
    os.write(write_end, json.dumps(document).encode() + b"\n")
    os.close(write_end)
    os.dup2(read_end, 0)
    for fd in files:
        os.set_inheritable(fd, True)
    environ = python_environ(os.environ, folder)
    environ |= dict.fromkeys(THREADS, str(spec.n_threads))
    command = [spec.python, *python_command("nbmlops.serving.worker")[1:]]
    os.execve(spec.python, command, environ)  # noqa: S606 - the model's environment


def fork_child(name: str, body: Callable[[], int], files: Sequence[int] = ()) -> int:
    """Return a child that runs a body with some files, and leaves all else behind.

    Signals wait until it has left the handlers behind, too: they would tell the
    supervisor of a signal that the child got.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _be_child(name, body, files)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _be_child(name: str, body: Callable[[], int], files: Sequence[int]) -> NoReturn:
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        with suppress(OSError):  # what ps and top show
            Path("/proc/self/comm").write_text(name, "ascii")
        leave_log()
        _close_others(*files)
        if "numpy.random" in sys.modules:  # Python's own is reseeded by a fork
            sys.modules["numpy.random"].seed()
        code = body()
    except BaseException:  # noqa: BLE001 - nothing is to see the supervisor's frames
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _close_others(*kept: int) -> None:
    first = 3
    for fd in (*sorted(kept), os.sysconf("SC_OPEN_MAX")):
        os.closerange(first, fd)
        first = fd + 1


_ended: dict[int, int] = {}
"""How children ended that nobody has asked about yet."""


def reap() -> None:
    """Take note of children that have ended."""
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            _ended[found[0]] = os.waitstatus_to_exitcode(found[1])


def is_alive(pid: int) -> bool:
    """Return whether a child runs."""
    reap()
    return _ended.pop(pid, None) is None and psutil.pid_exists(pid)


def exit_reason(pid: int) -> str:
    """Return how a process ended, in words."""
    reap()
    code = _ended.pop(pid, None)
    if code is None:
        return _GONE
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
    return f"signal {name}" + (", perhaps out of memory" if name == "SIGKILL" else "")
