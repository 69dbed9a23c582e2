"""A version's replicas: an application of Ray Serve."""

from __future__ import annotations

import asyncio
import io
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatus

from nbmlops.deployment import control
from nbmlops.deployment.supervisor.counts import RecentCounts
from nbmlops.errors import DeployError, UsageError
from nbmlops.processes.process_id import ProcessId
from nbmlops.serving.metrics import Comparison, combined, summed
from nbmlops.serving.worker import WorkerSpec

_MOST_BYTES = 200_000_000


class Replicas(RecentCounts):
    """A version's replicas: an application of Ray Serve."""

    processes: tuple[ProcessId, ...] = ()

    def __init__(self, spec: WorkerSpec, app: str, application: Any = None) -> None:  # noqa: ANN401 - of Ray Serve
        super().__init__()
        self.spec, self.app = spec, app
        self.drains, self.is_stopping = asyncio.Event(), False
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        if application is None:  # it runs already
            self.ready.set_result(None)
        else:
            self.ready = loop.create_task(self._start(application))

    async def _start(self, application: Any) -> None:  # noqa: ANN401
        target = f"{self.spec.model}/{self.spec.version}"
        try:
            await asyncio.to_thread(
                serve.run, application, name=self.app, route_prefix=None
            )
            version = serve.get_deployment_handle("Version", self.app)
            refusal = await version.refusal.remote()
        except (RuntimeError, RayError, RayServeException) as error:
            raise DeployError(
                f"Ray does not run {target}: {application_message(self.app) or error}",
                fix="See the logs of Ray Serve, then deploy again.",
            ) from error
        if refusal:
            raise control.read_error(refusal)

    def accept(self) -> None:
        """Do nothing: the router knows who takes requests."""

    def stop(self) -> None:
        """Have Ray Serve end it, once what has begun is answered."""
        self._stopping = asyncio.ensure_future(self.stopped())

    async def stopped(self) -> None:
        """End it, once what has begun is answered."""
        self.is_stopping = True
        self.drains.set()
        with suppress(RayError, RayServeException, RuntimeError):
            await asyncio.to_thread(serve.delete, self.app)
        self.ready.cancel()

    killed = stopped

    def take(self, snapshots: list[dict[str, Any]]) -> None:
        """Take what its replicas have counted."""
        found = [each["compared"] for each in snapshots if each["compared"]]
        (snapshot,) = summed(snapshots)
        compared = combined(map(Comparison.read, found)).document if found else None
        self.count({**snapshot, "compared": compared})


def pack(folder: Path) -> bytes:
    """Return the files of a model, as replicas get them."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > _MOST_BYTES:
        raise UsageError(
            f"The model has {size / 1e6:.0f} MB; a cluster is given "
            f"{_MOST_BYTES / 1e6:.0f} MB at most.",
            fix="Serve it on this machine: leave out target=.",
        )
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(folder, arcname=".")
    return packed.getvalue()


def running_apps(prefix: str) -> list[str]:
    """Return the applications that run and whose names begin so."""
    return [
        name
        for name, app in serve.status().applications.items()
        if name.startswith(prefix) and app.status == ApplicationStatus.RUNNING
    ]


def application_message(app: str) -> str:
    """Return what Ray Serve says of an application."""
    with suppress(RayError, RayServeException):
        found = serve.status().applications.get(app)
        if found is not None:
            deployments = (each.message for each in found.deployments.values())
            return " ".join(filter(None, (found.message, *deployments)))[:300]
    return ""
