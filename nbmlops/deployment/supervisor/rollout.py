"""The versions beside an endpoint's champion: its canary and its shadow."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Generic

from nbmlops.deployment.records import Canary, Served
from nbmlops.deployment.supervisor._protocol import W, Worker
from nbmlops.deployment.supervisor.rules import find_broken
from nbmlops.errors import ConflictError, NbmlopsError, UsageError
from nbmlops.serving.metrics import Comparison, combined

if TYPE_CHECKING:
    from nbmlops.deployment.supervisor.endpoint import RunningEndpoint

_log = logging.getLogger(__name__)


class Rollout(Generic[W]):
    """Canary and shadow of one endpoint, each with a worker."""

    def __init__(self, endpoint: RunningEndpoint[Any, W]) -> None:
        self._endpoint = endpoint
        self.workers: dict[str, W] = {}
        self._task: asyncio.Task[None] | None = None

    async def begin_canary(self, canary: Canary, timeout_s: float) -> None:
        """Have a version answer a share; with one that does so, change its share."""
        record = self._endpoint.served
        running = self.workers.get("canary")
        if running is None or record.canary is None:
            await self._begin_other("canary", canary.served, timeout_s)
        elif record.canary.served != canary.served:
            raise ConflictError(
                f"{record.canary.served} is the canary of {self._endpoint.name!r}.",
                fix=f"End it first: nbmlops endpoints abort {self._endpoint.name}",
            )
        self._endpoint.change(canary=canary, message="")
        self._endpoint.remove_versions()

    async def begin_shadow(self, served: Served, timeout_s: float) -> None:
        """Have a version get a copy of each request."""
        await self.end("shadow")
        await self._begin_other("shadow", served, timeout_s)
        self._endpoint.change(shadow=served)
        self._endpoint.remove_versions()

    async def end_canary(self, message: str) -> None:
        """Have the champion answer all requests.

        The canary's files go when the next version comes: it may be being fetched now.
        """
        if self._endpoint.served.canary is None:
            raise self.no_canary()
        self._endpoint.change(canary=None, message=message)
        await self.end("canary")

    async def end_shadow(self) -> None:
        """Send no more copies."""
        self._endpoint.change(shadow=None)
        await self.end("shadow")

    async def restore(self, timeout_s: float) -> None:
        """Begin again with the canary and the shadow of the supervisor before."""
        record = self._endpoint.served
        canary = record.canary.served if record.canary else None
        found = {"canary": canary, "shadow": record.shadow}
        for role, served in found.items():
            if served is not None and role not in self.workers:
                try:
                    await self._begin_other(role, served, timeout_s)
                except NbmlopsError as error:
                    self._endpoint.change(
                        **{role: None}, message=f"{served} has ended: {error}"
                    )
        self._endpoint.route()

    async def _begin_other(self, role: str, served: Served, timeout_s: float) -> None:
        worker = self._endpoint.start_other(served, role)
        try:
            await self._endpoint.wait(worker, timeout_s)
        except BaseException:
            await worker.killed()
            self._endpoint.remove_versions()
            raise
        self.workers[role] = worker
        worker.accept()

    async def end(self, role: str) -> None:
        """Stop the worker of a role."""
        await self._endpoint.routed()
        if worker := self.workers.pop(role, None):
            await worker.stopped()
            self._endpoint.forget(role)

    def judge(self) -> None:
        """End a canary that breaks a rule."""
        canary, worker = (
            self._endpoint.record and self._endpoint.record.canary,
            self.workers.get("canary"),
        )
        if not canary or worker is None or self._task is not None:
            return
        found = [w.snapshot.get("compared") for w in (worker, *self._endpoint.workers)]
        if not all(found):
            return
        its, *champions = (Comparison.read(each) for each in found if each)
        why = find_broken(canary.rules, combined(champions), its)
        if why:
            self._task = asyncio.get_running_loop().create_task(
                self._end_by_rule(f"{canary.served} was rolled back: {why}")
            )

    async def _end_by_rule(self, message: str) -> None:
        _log.warning("endpoint %s: %s", self._endpoint.name, message)
        async with self._endpoint.lock:
            if self._endpoint.record and self._endpoint.record.canary:
                await self.end_canary(message)
        self._task = None

    def on_end(self, worker: Worker, why: str) -> None:
        """Go on without a worker that died."""
        role = worker.spec.role
        if self.workers.get(role) is worker and not worker.is_stopping:
            self._task = asyncio.get_running_loop().create_task(
                self._end_died(role, why)
            )

    async def _end_died(self, role: str, why: str) -> None:
        """Go on without a canary or a shadow whose worker died."""
        async with self._endpoint.lock:
            record = self._endpoint.record
            if record and role == "canary" and record.canary:
                served = record.canary.served
                await self.end_canary(
                    f"{served} was rolled back: its worker died ({why})"
                )
            elif record and role == "shadow" and record.shadow:
                await self.end_shadow()
        self._task = None

    def no_canary(self) -> UsageError:
        """Return the error that there is none."""
        return UsageError(
            f"Endpoint {self._endpoint.name!r} has no canary.",
            fix="Deploy a version with a share of the requests.",
        )
