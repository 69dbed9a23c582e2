"""One endpoint in its supervisor: its socket, its versions, its workers."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import socket
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from nbmlops.deployment import records
from nbmlops.deployment.records import Record, Served
from nbmlops.deployment.supervisor import workers
from nbmlops.deployment.supervisor.workers import WorkerProcess
from nbmlops.errors import ConflictError, DeployError, NbmlopsError, UsageError
from nbmlops.serving.worker import WorkerSpec

_log = logging.getLogger(__name__)
_STEADY_S = 5.0
_LONGEST_PAUSE_S = 30.0
_MOST_DEATHS = 3


class RunningEndpoint:
    """What is served under one name; its methods are called one at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.lock = asyncio.Lock()
        self.record: Record | None = None
        self.listener: socket.socket | None = None
        self.workers: list[WorkerProcess] = []
        self._n_deaths, self._began_at = 0, 0.0
        self._revival: asyncio.Task[None] | None = None

    # -- versions

    async def deploy(self, wanted: Record, timeout_s: float) -> Record:
        """Serve a version once it has answered its own example; else keep the old."""
        before = self.record
        listener = self.listener
        if listener is None or (before and wanted.port not in (0, before.port)):
            listener = listen(wanted.port)
        worker = self._fork(wanted, wanted.champion, listener)
        try:
            await self._wait(worker, wanted.champion, timeout_s)
        except BaseException:
            worker.kill()
            if listener is not self.listener:
                listener.close()
            self._remove_versions()
            raise
        previous = wanted.previous
        if before and before.champion != wanted.champion:
            previous = before.champion
        record = replace(
            wanted,
            port=listener.getsockname()[1],
            previous=previous,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            processes=(worker.process,),
        )
        try:
            records.write_record(self.folder, record)
        except NbmlopsError:
            worker.kill()
            raise
        self._switch(record, worker, listener)
        return record

    def _switch(
        self, record: Record, worker: WorkerProcess, listener: socket.socket
    ) -> None:
        """Have a worker take the socket, and the others answer what they have begun."""
        old, self.workers = self.workers, [worker]
        worker.accept()
        if self.listener is not None and self.listener is not listener:
            self.listener.close()
        self.listener, self.record = listener, record
        self._n_deaths, self._began_at = 0, asyncio.get_running_loop().time()
        for each in old:
            each.stop()
        self._remove_versions()

    async def _wait(
        self, worker: WorkerProcess, served: Served, timeout_s: float
    ) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(worker.ready), timeout_s)
        except TimeoutError as error:
            last = records.last_words(self.folder / self.name)
            raise DeployError(
                f"{served} did not answer in time. {last}".strip(),
                fix="Set NBMLOPS_DEPLOY_TIMEOUT_S to more seconds, or see what is "
                "slow.",
            ) from error

    async def roll_back(self, timeout_s: float) -> Record:
        """Serve the version before, whose files are still here."""
        record = self.record
        if record is None or record.previous is None:
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
            message=f"rolled back from {left}",
        )
        made = await self.deploy(wanted, timeout_s)
        self.record = replace(made, previous=None)
        records.write_record(self.folder, self.record)
        return self.record

    def _remove_versions(self) -> None:
        """Remove the files of versions that are neither served nor gone back to."""
        if (record := self.record) is None:
            return
        served = (record.champion, record.previous)
        kept = {str(each.version) for each in served if each}
        for each in (self.folder / self.name / "versions").iterdir():
            if each.name.partition(".")[0] not in kept:
                shutil.rmtree(each, ignore_errors=True)

    # -- workers

    def _fork(
        self, record: Record, served: Served, listener: socket.socket
    ) -> WorkerProcess:
        spec = WorkerSpec(
            endpoint=self.name,
            folder=str(self.folder / self.name),
            model=served.model,
            version=served.version,
            trust=served.trust,
            no_auth=record.no_auth,
            max_request_bytes=record.max_request_bytes,
            serving=record.serving,
            n_threads=max(1, len(os.sched_getaffinity(0))),
        )
        return workers.fork(spec, listener, self.folder, self._on_end)

    def _on_end(self, worker: WorkerProcess) -> None:
        """Fork another worker in place of one that died; connections wait meanwhile."""
        if worker not in self.workers:
            return
        self.workers.remove(worker)
        if worker.is_stopping or self.record is None:
            return
        loop = asyncio.get_running_loop()
        is_steady = loop.time() - self._began_at > _STEADY_S
        self._n_deaths = 1 if is_steady else self._n_deaths + 1
        _log.warning("the worker of %s died", worker.spec.endpoint)
        self._revival = loop.create_task(self._revive())

    async def _revive(self) -> None:
        if self._n_deaths > _MOST_DEATHS:
            await asyncio.sleep(min(_LONGEST_PAUSE_S, 2.0 ** (self._n_deaths - 4)))
        async with self.lock:
            if self.record is not None and not self.workers:
                await self.bring_up(self.record)

    async def bring_up(self, record: Record) -> None:
        """Serve what a record says, on its port."""
        self.record = record
        if self.listener is None:
            self.listener = listen(record.port)
        self._began_at = asyncio.get_running_loop().time()
        worker = self._fork(record, record.champion, self.listener)
        self.workers.append(worker)
        worker.accept()
        self.record = replace(record, processes=(worker.process,))
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
            and (served.model, served.version) == (spec.model, spec.version)
            and not self.workers
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

    def rotate_token(self, token: str) -> None:
        """Ask for another token from now on."""
        records.write_token(self.folder / self.name, token)
        for each in self.workers:
            each.tell({"type": "token"})

    async def remove(self) -> None:
        """Stop serving, and remove all that is on disk."""
        self.record = None
        found, self.workers = self.workers, []
        await asyncio.gather(*(each.stopped() for each in found))
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        records.remove(self.folder, self.name)


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
