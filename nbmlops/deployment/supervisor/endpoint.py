"""One endpoint in its supervisor: its socket, its versions, its workers."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import socket
import tempfile
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbmlops.deployment import records
from nbmlops.deployment.records import Canary, Record, Served
from nbmlops.deployment.supervisor import workers
from nbmlops.deployment.supervisor.rules import find_broken
from nbmlops.deployment.supervisor.workers import WorkerProcess
from nbmlops.errors import ConflictError, DeployError, NbmlopsError, UsageError
from nbmlops.processes.channel import Document
from nbmlops.serving.metrics import Comparison
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
        self.others: dict[str, WorkerProcess] = {}  # canary and shadow
        self._crashes: list[float] = []
        self._revival: asyncio.Task[None] | None = None
        self._verdict: asyncio.Task[None] | None = None
        self._sockets: Path | None = None

    # -- versions

    async def deploy(
        self, wanted: Record, timeout_s: float, *, must_write: bool = True
    ) -> None:
        """Serve a version once it has answered its own example; else keep the old."""
        before = self.record
        listener = self.listener
        if listener is None or (before and wanted.port not in (0, before.port)):
            listener = listen(wanted.port)
        worker = self._fork(wanted, wanted.champion, listener)
        try:
            await self._wait(worker, timeout_s)
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
            self._write(record, must_write=must_write)
        except BaseException:
            worker.kill()
            if listener is not self.listener:
                listener.close()
            self._remove_versions()
            raise
        await self._switch(record, worker, listener)

    def _write(self, record: Record, *, must_write: bool = True) -> None:
        try:
            records.write_record(self.folder, record)
        except NbmlopsError as error:
            if must_write:
                raise
            _log.warning("%s", error)  # going back is possible with a full disk

    async def _switch(
        self, record: Record, worker: WorkerProcess, listener: socket.socket
    ) -> None:
        """Have a worker take the socket, and the others answer what they have begun."""
        old, self.workers = self.workers, [worker]
        worker.accept()
        if self.listener is not None and self.listener is not listener:
            self.listener.close()
        self.listener, self.record = listener, record
        self._send_routes()
        self._crashes = []
        for each in old:
            each.stop()
        self._remove_versions()
        with suppress(TimeoutError):  # until no connection goes to them
            drained = asyncio.gather(*(each.drains.wait() for each in old))
            await asyncio.wait_for(drained, _DRAIN_S)

    async def _wait(self, worker: WorkerProcess, timeout_s: float) -> None:
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
        if (canary := self._served_record().canary) is not None:
            await self.end_canary(f"rolled back from {canary.served}")
        else:
            await self._serve_previous(timeout_s)

    async def _serve_previous(self, timeout_s: float, note: str = "") -> None:
        record = self._served_record()
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
        self.record = replace(self._served_record(), previous=None)
        self._write(self.record, must_write=False)

    # -- canary and shadow

    async def begin_canary(self, canary: Canary, timeout_s: float) -> None:
        """Have a version answer a share; with one that does so, change its share."""
        record = self._served_record()
        running = self.others.get("canary")
        if running is None or record.canary is None:
            await self._begin_other("canary", canary.served, timeout_s)
        elif record.canary.served != canary.served:
            raise ConflictError(
                f"{record.canary.served} is the canary of {self.name!r}.",
                fix=f"End it first: nbmlops endpoints abort {self.name}",
            )
        self._set(canary=canary, message="")

    async def begin_shadow(self, served: Served, timeout_s: float) -> None:
        """Have a version get a copy of each request."""
        await self._end_other("shadow")
        await self._begin_other("shadow", served, timeout_s)
        self._set(shadow=served)

    async def promote(self, timeout_s: float) -> None:
        """Make the canary the champion."""
        record = self._served_record()
        if record.canary is None:
            raise self._no_canary()
        wanted = replace(
            record,
            champion=record.canary.served,
            canary=None,
            not_followed=record.champion.version if record.alias else None,
            message="",
        )
        await self.deploy(wanted, timeout_s)
        await self._end_other("canary")

    async def end_canary(self, message: str) -> None:
        """Have the champion answer all requests."""
        if self._served_record().canary is None:
            raise self._no_canary()
        self._set(canary=None, message=message)
        await self._end_other("canary")
        self._remove_versions()

    async def end_shadow(self) -> None:
        """Send no more copies."""
        self._set(shadow=None)
        await self._end_other("shadow")
        self._remove_versions()

    async def restore_others(self, timeout_s: float) -> None:
        """Begin again with the canary and the shadow of the supervisor before."""
        record = self._served_record()
        canary = record.canary.served if record.canary else None
        found = {"canary": canary, "shadow": record.shadow}
        for role, served in found.items():
            if served is not None:
                try:
                    await self._begin_other(role, served, timeout_s)
                except NbmlopsError as error:
                    self._set(**{role: None}, message=f"{served} has ended: {error}")
        self._send_routes()

    def _set(self, **changes: Any) -> None:
        record = replace(self._served_record(), **changes)
        self._write(record, must_write=False)
        self.record = record
        self._send_routes()

    async def _begin_other(self, role: str, served: Served, timeout_s: float) -> None:
        path = self._socket_path(role)
        with listen_on(path) as listener:
            worker = self._fork(self._served_record(), served, listener, role)
        try:
            await self._wait(worker, timeout_s)
        except BaseException:
            worker.kill()
            self._remove_versions()
            raise
        self.others[role] = worker
        worker.accept()

    async def _end_other(self, role: str) -> None:
        if worker := self.others.pop(role, None):
            await worker.stopped()
            self._socket_path(role).unlink(missing_ok=True)

    def _socket_path(self, role: str) -> Path:
        path = self.folder / self.name / f"{role}.sock"
        if len(os.fsencode(path)) <= _LONGEST_PATH:
            return path
        if self._sockets is None:
            self._sockets = Path(tempfile.mkdtemp(prefix="nbmlops-"))
        return self._sockets / f"{role}.sock"

    def _send_routes(self) -> None:
        """Have the champion know of canary and shadow."""
        canary = self.record and self.record.canary
        routes: Document = {"type": "routes", "canary": None, "shadow": None}
        if canary and "canary" in self.others:
            socket_path = str(self._socket_path("canary"))
            routes["canary"] = {"socket": socket_path, "share": canary.share}
        if "shadow" in self.others:
            routes["shadow"] = {"socket": str(self._socket_path("shadow"))}
        for each in self.workers:
            each.tell(routes)

    def _judge(self) -> None:
        """End a canary that breaks a rule."""
        canary, worker = self.record and self.record.canary, self.others.get("canary")
        if not canary or worker is None or self._verdict is not None:
            return
        found = [w.snapshot.get("compared") for w in (worker, *self.workers)]
        if not all(found):
            return
        its, *champions = (Comparison.read(each) for each in found if each)
        why = find_broken(canary.rules, champions[0], its)
        if why:
            self._verdict = asyncio.get_running_loop().create_task(
                self._end_by_rule(f"{canary.served} was rolled back: {why}")
            )

    async def _end_by_rule(self, message: str) -> None:
        _log.warning("endpoint %s: %s", self.name, message)
        async with self.lock:
            if self.record and self.record.canary:
                await self.end_canary(message)
        self._verdict = None

    def _served_record(self) -> Record:
        assert self.record is not None  # noqa: S101 - it is served
        return self.record

    def _no_canary(self) -> UsageError:
        return UsageError(
            f"Endpoint {self.name!r} has no canary.",
            fix="Deploy a version with a share of the requests.",
        )

    def _remove_versions(self) -> None:
        """Remove the files of versions that are neither served nor gone back to."""
        if (record := self.record) is None:
            return
        kept = {str(each.version) for each in record.all_served}
        for each in (self.folder / self.name / "versions").iterdir():
            if each.name.partition(".")[0] not in kept:
                shutil.rmtree(each, ignore_errors=True)

    # -- workers

    def _fork(
        self,
        record: Record,
        served: Served,
        listener: socket.socket,
        role: str = "champion",
    ) -> WorkerProcess:
        spec = WorkerSpec(
            endpoint=self.name,
            folder=str(self.folder / self.name),
            model=served.model,
            version=served.version,
            role=role,
            trust=served.trust,
            no_auth=record.no_auth,
            max_request_bytes=record.max_request_bytes,
            serving=record.serving,
            n_threads=max(1, len(os.sched_getaffinity(0))),
        )
        return workers.fork(spec, listener, self.folder, self._on_end, self._judge)

    def _on_end(self, worker: WorkerProcess) -> None:
        """Fork another worker in place of one that died; connections wait meanwhile."""
        role = worker.spec.role
        if self.others.get(role) is worker and not worker.is_stopping:
            self._revival = asyncio.get_running_loop().create_task(
                self._end_died(role, str(worker.ended_by))
            )
        if worker not in self.workers:
            return
        self.workers.remove(worker)
        if worker.is_stopping or self.record is None:
            return
        loop = asyncio.get_running_loop()
        if worker.has_crashed:
            self._crashes = [t for t in self._crashes if t > loop.time() - _CRASHES_S]
            self._crashes.append(loop.time())
        _log.warning("the worker of %s died: %s", self.name, worker.ended_by)
        self._revival = loop.create_task(self._revive(worker.ended_by))

    async def _end_died(self, role: str, why: str) -> None:
        """Go on without a canary or a shadow whose worker died."""
        async with self.lock:
            record = self.record
            if record and role == "canary" and record.canary:
                served = record.canary.served
                await self.end_canary(
                    f"{served} was rolled back: its worker died ({why})"
                )
            elif record and role == "shadow" and record.shadow:
                await self.end_shadow()

    async def _revive(self, why: str) -> None:
        """Serve again; the version before, where this one crashes again and again."""
        n_more = len(self._crashes) - _MOST_CRASHES
        if n_more >= 0 and self.record and not self.record.previous:
            await asyncio.sleep(min(_LONGEST_PAUSE_S, 2.0**n_more))
        async with self.lock:
            record = self.record
            if record is None or self.workers:
                return
            await self.bring_up(record)
            if n_more >= 0 and record.previous:
                note = f"{record.champion} was rolled back: it crashed ({why})"
                try:
                    await self._serve_previous(_ROLL_BACK_S, note)
                except NbmlopsError as error:
                    _log.error("%s", error)

    async def bring_up(self, record: Record) -> None:
        """Serve what a record says, on its port."""
        self.record = record
        if self.listener is None:
            self.listener = listen(record.port)
        worker = self._fork(record, record.champion, self.listener)
        self.workers.append(worker)
        worker.accept()
        self._send_routes()
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

    def note(self, message: str) -> None:
        """Keep what became of it last."""
        self._set(message=message)

    def rotate_token(self, token: str) -> None:
        """Ask for another token from now on."""
        records.write_token(self.folder / self.name, token)
        for each in self.workers:
            each.tell({"type": "token"})

    async def remove(self) -> None:
        """Stop serving, and remove all that is on disk."""
        self.record = None
        found = [*self.workers, *self.others.values()]
        self.workers, self.others = [], {}
        await asyncio.gather(*(each.stopped() for each in found))
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        records.remove(self.folder, self.name)


def listen_on(path: Path) -> socket.socket:
    """Return a socket that listens on a path, for this user alone."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(1024)
    return listener


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
