"""One endpoint on a cluster, as its supervisor sees it."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError

from nbmlops.config import Ray
from nbmlops.deployment import records
from nbmlops.deployment.ray.applications import (
    Replicas,
    application_message,
    pack,
    running_apps,
)
from nbmlops.deployment.ray.hub import NAMESPACE, Hub, Routes
from nbmlops.deployment.ray.replicas import Router, Version
from nbmlops.deployment.records import Record, Served
from nbmlops.deployment.supervisor._protocol import Worker
from nbmlops.deployment.supervisor.endpoint import RunningEndpoint
from nbmlops.errors import ConflictError, NbmlopsError
from nbmlops.scoring.signature import read_input_spec, read_mlmodel
from nbmlops.serving.request_log.feedback import Feedback, Labels
from nbmlops.serving.request_log.requests import RequestLog
from nbmlops.serving.worker import WorkerSpec

_log = logging.getLogger(__name__)
_WATCH_S, _RESTORE_S, _DRAIN_S = 0.25, 60.0, 10.0
_ROUTER_ONGOING, _CPUS_OF_ROUTER = 1000, 0.0


@dataclass(frozen=True, slots=True)
class ServePort:
    """The port of Ray Serve, which all endpoints share."""

    port: int

    def getsockname(self) -> tuple[str, int]:
        """Return host and port."""
        return "127.0.0.1", self.port

    def close(self) -> None:
        """Leave it to the others."""


class RayEndpoint(RunningEndpoint[ServePort, Replicas]):
    """Its versions and a router are applications of Ray Serve; a hub joins them."""

    def __init__(
        self, folder: Path, name: str, settings: Ray, connect: Callable[[int], int]
    ) -> None:
        super().__init__(folder, name)
        self._settings, self._connect = settings, connect
        self._app = f"nbmlops:{name}"
        self._hub: Any = None
        self._hub_id = ""
        self._routing: asyncio.Future[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._logs: dict[int, RequestLog] = {}
        self._feedback: Feedback | None = None

    async def listen(self, port: int) -> ServePort:
        """Connect to the cluster, and return the port of Ray Serve."""
        found = await asyncio.to_thread(self._connect, port)
        if port not in (0, found):
            raise ConflictError(
                f"Ray Serve listens on port {found}, for all endpoints.",
                fix="Leave out port=.",
            )
        if self._hub is None:
            self._hub = await self._find_hub()
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        return ServePort(found)

    async def _find_hub(self) -> Any:  # noqa: ANN401 - an actor's handle
        owner = str(self.folder / self.name)
        actor: Any = ray.remote(Hub)
        hub = actor.options(
            name=self._app,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=-1,
        ).remote(owner)
        if (other := await hub.owner.remote()) != owner:
            raise ConflictError(
                f"Endpoint {self.name!r} of this cluster is another project's: {other}",
                fix="Choose another name with name=.",
            )
        return hub

    async def deploy(
        self, wanted: Record, timeout_s: float, *, must_write: bool = True
    ) -> None:
        """Serve a version once it has answered its own example; else keep the old."""
        try:
            await super().deploy(wanted, timeout_s, must_write=must_write)
        except BaseException:
            if self.record is None:
                await self._end_hub()
            raise

    async def _end_hub(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._hub is not None:
            ray.kill(self._hub)
            self._hub = None

    def start(self, record: Record, listener: ServePort) -> list[Replicas]:
        """Return the replicas of a record's champion."""
        return [self._start(record, record.champion, "champion")]

    def start_other(self, served: Served, role: str) -> Replicas:
        """Return the replicas of a canary or a shadow."""
        return self._start(self.served, served, role)

    def _start(self, record: Record, served: Served, role: str) -> Replicas:
        spec = self._spec(record, served, role)
        app = f"{self._app}:{served.version}:{uuid.uuid4().hex[:6]}"
        deployment = serve.deployment(
            name="Version",
            ray_actor_options={"num_cpus": self._settings.cpus},
            max_ongoing_requests=2 * record.serving.max_waiting,
            max_constructor_retry_count=1,
            graceful_shutdown_timeout_s=_DRAIN_S,
            **self._scale(record.serving.workers),
        )
        application = deployment(Version).bind(
            spec.document,
            pack(spec.model_folder),
            self._token(record),
            app,
            self._app,
        )
        return Replicas(spec, app, application)

    def _token(self, record: Record) -> str | None:
        if record.no_auth:
            return None
        return (self.folder / self.name / "token").read_text("ascii").strip()

    def _spec(self, record: Record, served: Served, role: str) -> WorkerSpec:
        n_threads = max(1, int(self._settings.cpus))
        return self.spec(record, served, role, n_threads=n_threads)

    def _scale(self, n_replicas: int) -> dict[str, Any]:
        most = self._settings.max_replicas
        if most is None or most <= n_replicas:
            return {"num_replicas": n_replicas}
        scaling = {"min_replicas": n_replicas, "max_replicas": most}
        return {"autoscaling_config": scaling}

    # -- routes

    def route(self) -> None:
        """Tell the hub, which tells the routers."""
        record, others = self.record, self.rollout.workers
        if record is None or not self.workers:
            return
        routes: Routes = {"champion": self.workers[0].app}
        if record.canary and "canary" in others:
            routes |= {"canary": others["canary"].app, "share": record.canary.share}
        if record.shadow and "shadow" in others:
            routes["shadow"] = others["shadow"].app
        routes["token"] = self._token(record)
        before = self._routing
        self._routing = asyncio.ensure_future(self._send(routes, before))

    async def _send(self, routes: Routes, before: asyncio.Future[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        await self._hub.set_routes.remote(routes)
        deployment = serve.deployment(
            name="Router",
            ray_actor_options={"num_cpus": _CPUS_OF_ROUTER},
            max_ongoing_requests=_ROUTER_ONGOING,
        )
        if self._app not in await asyncio.to_thread(running_apps, self._app):
            await asyncio.to_thread(
                serve.run,
                deployment(Router).bind(self._app),
                name=self._app,
                route_prefix=f"/endpoints/{self.name}",
            )

    async def routed(self) -> None:
        """Return when the routers go by the newest routes."""
        if self._routing is not None:
            await self._routing

    def rotate_token(self, token: str) -> None:
        """Tell it with the routes."""
        records.write_token(self.folder / self.name, token)
        self.route()

    # -- what versions report

    async def _watch(self) -> None:
        """Take what is reported: counts, which end a bad canary, and what is logged."""
        while True:
            await asyncio.sleep(_WATCH_S)
            try:
                hub_id, counts, logged = await self._hub.take.remote()
                if hub_id != self._hub_id:
                    self._hub_id = hub_id
                    self.route()  # it has just begun
            except RayError as error:
                _log.warning(
                    "endpoint %s: the cluster does not answer: %s", self.name, error
                )
                await asyncio.sleep(1.0)
                continue
            for each in (*self.workers, *self.rollout.workers.values()):
                if each.app in counts:
                    each.take(counts[each.app])
            self.rollout.judge()
            for item in logged:
                with suppress(NbmlopsError, OSError):
                    self._write_logged(item)

    def _write_logged(self, item: Any) -> None:  # noqa: ANN401
        serving, folder = self.served.serving, self.folder / self.name
        bounds = {"most_bytes": serving.log_bytes, "most_days": serving.log_days}
        if isinstance(item, Labels):
            self._feedback = self._feedback or Feedback(folder / "feedback", **bounds)
            self._feedback.put(item)
            return
        if item.version not in self._logs:
            model = folder / "versions" / str(item.version) / "model"
            columns = read_input_spec(read_mlmodel(model)).columns
            self._logs[item.version] = RequestLog(
                folder / "requests", columns, sample=serving.log_share, **bounds
            )
        self._logs[item.version].append(item)

    # -- beginning and end

    async def restore(self, record: Record) -> None:
        """Take over what the cluster runs of it; start what it does not."""
        self.record = record
        self.listener = await self.listen(record.port)
        apps = await asyncio.to_thread(running_apps, f"{self._app}:")
        _, routes = await self._hub.routes.remote()
        found = {role: routes.get(role) for role in ("champion", "canary", "shadow")}
        if found["champion"] in apps:
            spec = self._spec(record, record.champion, "champion")
            self.workers = [Replicas(spec, found["champion"])]
        else:
            workers = self.start(record, self.listener)
            await self.wait(workers[0], _RESTORE_S)
            self.workers = workers
        served = {"canary": record.canary and record.canary.served}
        served["shadow"] = record.shadow
        for role, version in served.items():
            if version and found[role] in apps:
                spec = self._spec(record, version, role)
                self.rollout.workers[role] = Replicas(spec, found[role])
        await self.rollout.restore(_RESTORE_S)
        await self.routed()
        used = {each.app for each in (*self.workers, *self.rollout.workers.values())}
        for app in set(apps) - used:  # of a supervisor that was killed
            await asyncio.to_thread(serve.delete, app)

    async def leave(self) -> None:
        """Have the cluster serve on; the next supervisor takes it over."""
        await self._close_logs()

    async def remove(self) -> None:
        """Stop serving, and remove all that is on disk."""
        self.record = None
        await self._close_logs()
        found: list[Worker] = [*self.workers, *self.rollout.workers.values()]
        self.workers, self.rollout.workers = [], {}
        if self._hub is not None:
            await asyncio.to_thread(serve.delete, self._app)
            await asyncio.gather(*(each.stopped() for each in found))
            await self._end_hub()
        records.remove(self.folder, self.name)

    async def _close_logs(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        for each in (*self._logs.values(), self._feedback):
            if each is not None:
                await asyncio.to_thread(each.close)

    async def last_words(self, worker: Worker) -> str:
        """Return what Ray Serve says of a version that is late."""
        assert isinstance(worker, Replicas)  # noqa: S101 - it has no others
        return await asyncio.to_thread(application_message, worker.app)
