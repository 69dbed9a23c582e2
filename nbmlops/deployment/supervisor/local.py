"""An endpoint on this machine: its socket, and the processes that accept on it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

from nbmlops.deployment import records
from nbmlops.deployment.explain.process import MODULE as EXPLAINER
from nbmlops.deployment.records import Record, Served
from nbmlops.deployment.supervisor import workers
from nbmlops.deployment.supervisor.connections import Waiting
from nbmlops.deployment.supervisor.endpoint import RunningEndpoint
from nbmlops.deployment.supervisor.workers import WorkerProcess
from nbmlops.errors import ConflictError, NbmlopsError, UsageError
from nbmlops.processes.channel import Document

_log = logging.getLogger(__name__)
_CRASHES_S, _MOST_CRASHES = 30.0, 3
_LONGEST_PAUSE_S, _ROLL_BACK_S = 30.0, 60.0
_ADOPT_S, _RESTORE_S = 3.0, 60.0
_LONGEST_PATH = 90


class LocalEndpoint(RunningEndpoint[socket.socket, WorkerProcess]):
    """Its workers share the supervisor's listening socket."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        self._waiting: list[Waiting] = []  # connections that a dead worker has left
        self._crashes: list[float] = []
        self._revival: asyncio.Task[None] | None = None
        self._sockets: Path | None = None

    async def listen(self, port: int) -> socket.socket:
        """Return a socket that listens on the loopback interface."""
        return listen(port)

    def start(self, record: Record, listener: socket.socket) -> list[WorkerProcess]:
        """Return workers of a record's champion, which do not accept yet."""
        self._crashes = []
        n_workers = record.serving.workers
        return [self._fork(record, record.champion, listener) for _ in range(n_workers)]

    def start_other(self, served: Served, role: str) -> WorkerProcess:
        """Return the worker of a canary or a shadow, with a Unix socket of its own."""
        with _listen_on(self._socket_path(role)) as listener:
            return self._fork(self.served, served, listener, role)

    def forget(self, role: str) -> None:
        """Remove the socket of a role."""
        self._socket_path(role).unlink(missing_ok=True)

    def _socket_path(self, role: str) -> Path:
        path = self.folder / self.name / f"{role}.sock"
        if len(os.fsencode(path)) <= _LONGEST_PATH:
            return path
        if self._sockets is None:
            self._sockets = Path(tempfile.mkdtemp(prefix="nbmlops-"))
        return self._sockets / f"{role}.sock"

    def route(self) -> None:
        """Have the champion know of canary and shadow."""
        routes: Document = {"type": "routes", "canary": None, "shadow": None}
        others, record = self.rollout.workers, self.record
        if record and record.canary and "canary" in others:
            path = str(self._socket_path("canary"))
            routes["canary"] = {"socket": path, "share": record.canary.share}
        if record and record.shadow and "shadow" in others:
            routes["shadow"] = {"socket": str(self._socket_path("shadow"))}
        for each in self.workers:
            each.tell(routes)

    def _fork(
        self,
        record: Record,
        served: Served,
        listener: socket.socket,
        role: str = "champion",
    ) -> WorkerProcess:
        n_threads = max(1, n_cores() // record.serving.workers)
        spec = self.spec(record, served, role, n_threads=n_threads)
        spec = replace(spec, explainer=EXPLAINER)
        waiting: list[Waiting] = []
        if role == "champion":
            waiting, self._waiting = self._waiting, []
        return workers.fork(
            spec, listener, self.folder, self.on_end, self.on_snapshot, waiting
        )

    def on_snapshot(self, worker: WorkerProcess) -> None:
        """Hold the canary to its rules; have each worker tell the counts of all."""
        self.rollout.judge()
        if worker in self.workers:
            for each in self.workers:
                if each is not worker:
                    each.tell(
                        {
                            "type": "peer",
                            "pid": worker.process.pid,
                            "snapshot": worker.snapshot,
                        }
                    )

    def on_end(self, worker: WorkerProcess) -> None:
        """Fork another worker in place of one that died, while connections wait."""
        self.rollout.on_end(worker, worker.ended_by)
        if worker not in self.workers:
            return
        self.workers.remove(worker)
        for each in self.workers:
            each.tell({"type": "peer", "pid": worker.process.pid, "snapshot": None})
        if worker.is_stopping or self.record is None:
            return
        self._waiting += worker.take_waiting()
        loop = asyncio.get_running_loop()
        if worker.has_crashed:
            self._crashes = [t for t in self._crashes if t > loop.time() - _CRASHES_S]
            self._crashes.append(loop.time())
        _log.warning("the worker of %s died: %s", self.name, worker.ended_by)
        self._revival = loop.create_task(self._revive(worker.ended_by))

    async def _revive(self, why: str) -> None:
        """Serve again; the version before, where this one crashes again and again."""
        n_more = len(self._crashes) - _MOST_CRASHES
        if n_more >= 0 and self.record and not self.record.previous:
            await asyncio.sleep(min(_LONGEST_PAUSE_S, 2.0**n_more))
        async with self.lock:
            record = self.record
            if record is None or len(self.workers) >= record.serving.workers:
                return
            await self.bring_up(record)
            if n_more >= 0 and record.previous:
                note = f"{record.champion} was rolled back: it crashed ({why})"
                try:
                    await self._serve_previous(_ROLL_BACK_S, note)
                except NbmlopsError as error:
                    _log.error("%s", error)

    async def bring_up(self, record: Record) -> None:
        """Serve what a record says, on its port, by as many workers."""
        self.record = record
        if self.listener is None:
            self.listener = listen(record.port)
        while len(self.workers) < record.serving.workers:
            worker = self._fork(record, record.champion, self.listener)
            self.workers.append(worker)
            worker.accept()
        self.route()
        processes = tuple(each.process for each in self.workers)
        self.record = replace(record, processes=processes)
        try:
            records.write_record(self.folder, self.record)
        except NbmlopsError as error:  # it serves all the same
            _log.warning("%s", error)

    def adopt(self, worker: WorkerProcess, listener: socket.socket) -> bool:
        """Take over a worker of the supervisor before; False when it is not wanted."""
        served = self.record.champion if self.record else None
        spec = worker.spec
        is_wanted = (
            served is not None
            and self.record is not None
            and (served.model, served.version) == (spec.model, spec.version)
            and len(self.workers) < self.record.serving.workers
        )
        if is_wanted:
            if self.listener is None:
                self.listener = listener
            worker.is_accepting = True
            worker.ready.set_result(None)
            self.workers.append(worker)
        return is_wanted

    def rotate_token(self, token: str) -> None:
        """Ask for another token from now on."""
        records.write_token(self.folder / self.name, token)
        for each in self.workers:
            each.tell({"type": "token"})

    async def restore(self, record: Record) -> None:
        """Take over the workers of the supervisor before, or its port."""
        self.record = record
        loop = asyncio.get_running_loop()
        until = loop.time() + _ADOPT_S
        alive = [each for each in record.processes if records.is_running(each)]
        while len(self.workers) < len(alive) and loop.time() < until:
            await asyncio.sleep(0.02)
        if len(self.workers) < record.serving.workers:
            await self.bring_up(record)
        await self.rollout.restore(_RESTORE_S)

    async def closed(self) -> None:
        """Close what waits for the next worker, and stop listening."""
        for each in self._waiting:
            os.close(each.fd)
        self._waiting = []
        await super().closed()


def _listen_on(path: Path) -> socket.socket:
    """Return a socket that listens on a path, for this user alone."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(1024)
    return listener


def n_cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def listen(port: int) -> socket.socket:
    """Return a socket that listens on the loopback interface."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
    except (OSError, OverflowError) as error:
        listener.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise ConflictError(
                f"Port {port} is in use.",
                fix="Choose another with port=, or leave it out for a free one.",
            ) from error
        raise UsageError(
            f"No endpoint can listen on port {port}: {error}.",
            fix="Choose one from 1024 to 65535 with port=, or leave it out.",
        ) from error
    return listener
