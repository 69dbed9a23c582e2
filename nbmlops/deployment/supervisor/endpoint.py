"""One endpoint in its supervisor: its versions, their workers, and what follows."""

from __future__ import annotations

import asyncio
import logging
import shutil
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic

from nbmlops.deployment import records
from nbmlops.deployment.records import Record, Served
from nbmlops.deployment.supervisor._protocol import L, W, Worker
from nbmlops.deployment.supervisor.rollout import Rollout
from nbmlops.errors import DeployError, NbmlopsError, UsageError
from nbmlops.serving.worker import WorkerSpec

_log = logging.getLogger(__name__)
_DRAIN_S = 5.0


class RunningEndpoint(ABC, Generic[L, W]):
    """What is served under one name; its methods are called one at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.lock = asyncio.Lock()
        self.record: Record | None = None
        self.listener: L | None = None
        self.workers: list[W] = []
        self.rollout: Rollout[W] = Rollout(self)

    # -- how a target does it

    @abstractmethod
    async def listen(self, port: int) -> L:
        """Return where requests to a port arrive, a free one for 0."""

    @abstractmethod
    def start(self, record: Record, listener: L) -> list[W]:
        """Return workers of a record's champion, which do not accept yet."""

    @abstractmethod
    def start_other(self, served: Served, role: str) -> W:
        """Return the worker of a canary or a shadow."""

    @abstractmethod
    def route(self) -> None:
        """Have requests go to the champion, the canary and the shadow there are."""

    @abstractmethod
    async def restore(self, record: Record) -> None:
        """Serve what a record says; take over what serves it already."""

    @abstractmethod
    def rotate_token(self, token: str) -> None:
        """Ask for another token from now on."""

    async def routed(self) -> None:
        """Return when no request goes to who is no longer routed to."""

    def forget(self, role: str) -> None:
        """Forget how the worker of a role was reached."""

    def spec(
        self, record: Record, served: Served, role: str, *, n_threads: int
    ) -> WorkerSpec:
        """Return what a worker of a version is to serve, and as what."""
        return WorkerSpec(
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
            n_threads=n_threads,
        )

    # -- versions

    async def deploy(
        self, wanted: Record, timeout_s: float, *, must_write: bool = True
    ) -> None:
        """Serve a version once it has answered its own example; else keep the old."""
        before = self.record
        listener = self.listener
        if listener is None or (before and wanted.port not in (0, before.port)):
            listener = await self.listen(wanted.port)
        found = self.start(wanted, listener)
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
                processes=tuple(one for each in found for one in each.processes),
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

    async def _switch(self, record: Record, found: list[W], listener: L) -> None:
        """Have workers take the socket, and the others answer what they have begun."""
        old, self.workers = self.workers, found
        for each in found:
            each.accept()
        if self.listener is not None and self.listener is not listener:
            self.listener.close()
        self.listener, self.record = listener, record
        self.route()
        await self.routed()
        for each in old:
            each.stop()
        self.remove_versions()
        with suppress(TimeoutError):  # until no connection goes to them
            drained = asyncio.gather(*(each.drains.wait() for each in old))
            await asyncio.wait_for(drained, _DRAIN_S)

    async def wait(self, worker: Worker, timeout_s: float) -> None:
        """Return when a worker could answer; raise why it cannot."""
        try:
            await asyncio.wait_for(asyncio.shield(worker.ready), timeout_s)
        except TimeoutError as error:
            last = await self.last_words(worker)
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
        self.route()

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

    def follow(self, alias: str | None) -> None:
        """Follow another alias from now on, which names the version that is served."""
        assert self.record is not None  # noqa: S101 - it is served
        self.record = replace(self.record, alias=alias, not_followed=None)
        records.write_record(self.folder, self.record)

    def note(self, message: str) -> None:
        """Keep what became of it last."""
        self.change(message=message)

    async def remove(self) -> None:
        """Stop serving, and remove all that is on disk."""
        await self.leave()
        self.workers, self.rollout.workers = [], {}
        await self.closed()
        records.remove(self.folder, self.name)

    async def leave(self) -> None:
        """Stop serving, as the supervisor ends."""
        self.record = None  # what ends now is not brought back
        found: list[Worker] = [*self.workers, *self.rollout.workers.values()]
        await asyncio.gather(*(each.stopped() for each in found))

    async def closed(self) -> None:
        """Stop listening."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None

    async def last_words(self, worker: Worker) -> str:
        """Return what a worker that is late said last."""
        return records.last_words(self.folder / self.name)
