"""One endpoint in its supervisor: its socket, its versions, its workers."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import socket
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbmlops.deployment import records
from nbmlops.deployment.explain.process import MODULE as EXPLAINER
from nbmlops.deployment.records import Record, Served
from nbmlops.deployment.supervisor import workers
from nbmlops.deployment.supervisor.connections import Waiting
from nbmlops.deployment.supervisor.rollout import Rollout
from nbmlops.deployment.supervisor.workers import WorkerProcess
from nbmlops.errors import ConflictError, DeployError, NbmlopsError, UsageError
from nbmlops.serving.worker import WorkerSpec

_log = logging.getLogger(__name__)
_CRASHES_S, _MOST_CRASHES = 30.0, 3
_LONGEST_PAUSE_S, _ROLL_BACK_S = 30.0, 60.0
_LONGEST_PATH = 90
_DRAIN_S = 5.0


class RunningEndpoint:
    """What is served under one name; its methods are called one at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.lock = asyncio.Lock()
        self.record: Record | None = None
        self.listener: socket.socket | None = None
        self.workers: list[WorkerProcess] = []
        self.rollout = Rollout(self)
        self._waiting: list[Waiting] = []  # connections that a dead worker has left
        self._crashes: list[float] = []
        self._revival: asyncio.Task[None] | None = None

    # -- versions

    async def deploy(
        self, wanted: Record, timeout_s: float, *, must_write: bool = True
    ) -> None:
        """Serve a version once it has answered its own example; else keep the old."""
        before = self.record
        listener = self.listener
        if listener is None or (before and wanted.port not in (0, before.port)):
            listener = listen(wanted.port)
        n_workers = wanted.serving.workers
        found = [self.fork(wanted, wanted.champion, listener) for _ in range(n_workers)]
        try:
            await asyncio.gather(*(self.wait(each, timeout_s) for each in found))
            previous = wanted.previous
            if before and before.champion != wanted.champion:
                previous = before.champion
            record = replace(
                wanted,
                port=listener.getsockname()[1],
                previous=previous,
                started_at=datetime.now(UTC).isoformat(timespec="seconds"),
                processes=tuple(each.process for each in found),
            )
            self._write(record, must_write=must_write)
        except BaseException:
            await asyncio.gather(*(each.killed() for each in found))
            if listener is not self.listener:
                listener.close()
            self.remove_versions()
            raise
        await self._switch(record, found, listener)

    def _write(self, record: Record, *, must_write: bool = True) -> None:
        try:
            records.write_record(self.folder, record)
        except NbmlopsError as error:
            if must_write:
                raise
            _log.warning("%s", error)  # going back is possible with a full disk

    async def _switch(
        self, record: Record, found: list[WorkerProcess], listener: socket.socket
    ) -> None:
        """Have workers take the socket, and the others answer what they have begun."""
        old, self.workers = self.workers, found
        for each in found:
            each.accept()
        if self.listener is not None and self.listener is not listener:
            self.listener.close()
        self.listener, self.record = listener, record
        self.rollout.send_routes()
        self._crashes = []
        for each in old:
            each.stop()
        self.remove_versions()
        with suppress(TimeoutError):  # until no connection goes to them
            drained = asyncio.gather(*(each.drains.wait() for each in old))
            await asyncio.wait_for(drained, _DRAIN_S)

    async def wait(self, worker: WorkerProcess, timeout_s: float) -> None:
        """Return when a worker could answer; raise why it cannot."""
        try:
            await asyncio.wait_for(asyncio.shield(worker.ready), timeout_s)
        except TimeoutError as error:
            last = records.last_words(self.folder / self.name)
            target = f"{worker.spec.model}/{worker.spec.version}"
            raise DeployError(
                f"{target} did not answer in time. {last}".strip(),
                fix="Set NBMLOPS_DEPLOY_TIMEOUT_S to more seconds, or see what is "
                "slow.",
            ) from error

    async def roll_back(self, timeout_s: float) -> None:
        """Serve the version before, whose files are still here; or end the canary."""
        if (canary := self.served.canary) is not None:
            await self.rollout.end_canary(f"rolled back from {canary.served}")
        else:
            await self._serve_previous(timeout_s)

    async def _serve_previous(self, timeout_s: float, note: str = "") -> None:
        record = self.served
        if record.previous is None:
            raise UsageError(
                f"Endpoint {self.name!r} has no version to roll back to.",
                fix="Deploy one: %deploy MODEL/VERSION.",
            )
        left = record.champion
        wanted = replace(
            record,
            champion=record.previous,
            previous=None,
            not_followed=left.version if record.alias else None,
            message=(note or f"rolled back from {left}")
            + (f", which is {record.alias} still" if record.alias else ""),
        )
        await self.deploy(wanted, timeout_s, must_write=False)
        self.record = replace(self.served, previous=None)
        self._write(self.record, must_write=False)

    async def promote(self, timeout_s: float) -> None:
        """Make the canary the champion."""
        record = self.served
        if record.canary is None:
            raise self.rollout.no_canary()
        wanted = replace(
            record,
            champion=record.canary.served,
            canary=None,
            not_followed=record.champion.version if record.alias else None,
            message="",
        )
        await self.deploy(wanted, timeout_s)
        await self.rollout.end("canary")

    def change(self, **changes: Any) -> None:
        """Keep other values in the record's fields."""
        record = replace(self.served, **changes)
        self._write(record, must_write=False)
        self.record = record
        self.rollout.send_routes()

    @property
    def served(self) -> Record:
        """What is served; there is something."""
        assert self.record is not None  # noqa: S101 - it is served
        return self.record

    def remove_versions(self) -> None:
        """Remove the files of versions that are neither served nor gone back to."""
        if (record := self.record) is None:
            return
        kept = {str(each.version) for each in record.all_served}
        for each in (self.folder / self.name / "versions").iterdir():
            if each.name.partition(".")[0] not in kept:
                shutil.rmtree(each, ignore_errors=True)

    # -- workers

    def fork(
        self,
        record: Record,
        served: Served,
        listener: socket.socket,
        role: str = "champion",
    ) -> WorkerProcess:
        """Return a worker of a version, which does not accept yet."""
        spec = WorkerSpec(
            endpoint=self.name,
            folder=str(self.folder / self.name),
            model=served.model,
            version=served.version,
            role=role,
            trust=served.trust,
            digest=served.digest,
            python=served.python,
            no_auth=record.no_auth,
            max_request_bytes=record.max_request_bytes,
            serving=record.serving,
            n_threads=max(1, n_cores() // record.serving.workers),
            explainer=EXPLAINER,
        )
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
        """Fork another worker in place of one that died; connections wait meanwhile."""
        self.rollout.on_end(worker)
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
            worker = self.fork(record, record.champion, self.listener)
            self.workers.append(worker)
            worker.accept()
        self.rollout.send_routes()
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

    def follow(self, alias: str | None) -> None:
        """Follow another alias from now on, which names the version that is served."""
        assert self.record is not None  # noqa: S101 - it is served
        self.record = replace(self.record, alias=alias, not_followed=None)
        records.write_record(self.folder, self.record)

    def note(self, message: str) -> None:
        """Keep what became of it last."""
        self.change(message=message)

    def rotate_token(self, token: str) -> None:
        """Ask for another token from now on."""
        records.write_token(self.folder / self.name, token)
        for each in self.workers:
            each.tell({"type": "token"})

    async def remove(self) -> None:
        """Stop serving, and remove all that is on disk."""
        self.record = None
        found = [*self.workers, *self.rollout.workers.values()]
        self.workers, self.rollout.workers = [], {}
        await asyncio.gather(*(each.stopped() for each in found))
        for each in self._waiting:
            os.close(each.fd)
        self._waiting = []
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        records.remove(self.folder, self.name)


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
