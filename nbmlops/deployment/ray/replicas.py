"""What Ray Serve runs of an endpoint: a router, and replicas of its versions."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import tarfile
import tempfile
from collections import deque
from contextlib import suppress
from dataclasses import replace
from time import perf_counter
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse

from nbmlops.deployment.ray.hub import NAMESPACE, Logged, Routes
from nbmlops.errors import NbmlopsError
from nbmlops.serving.app import EndpointApp, Limits
from nbmlops.serving.files import checked_files
from nbmlops.serving.forward import is_taken
from nbmlops.serving.http.messages import Request, Response, too_large
from nbmlops.serving.metrics import Comparison
from nbmlops.serving.model import failure
from nbmlops.serving.request_log.feedback import REQUEST_ID, labels_of
from nbmlops.serving.request_log.journal import Journal
from nbmlops.serving.request_log.requests import LoggedRequest
from nbmlops.serving.worker import WorkerSpec, load_version

_log = logging.getLogger(__name__)
_REPORT_S = 0.25
_REQUEST_ID = b"x-request-id"
_MOST_LOGGED = 10_000
_UNAVAILABLE = json.dumps(
    {
        "error": "DeployError",
        "message": "No version answers.",
        "fix": "Send it again in a second.",
    }
).encode()
Message = tuple[str, str, dict[bytes, bytes], bytes, str]
"""Method, path, headers, body and id of a request."""
Answer = tuple[int, bytes, dict[str, str]]
"""Status, body and headers."""


class Version:
    """One replica of a model version."""

    async def __init__(  # type: ignore[misc] # Ray Serve awaits it
        self, spec: dict[str, Any], files: bytes, token: str | None, app: str, hub: str
    ) -> None:
        self._replica = serve.get_replica_context().replica_id.unique_id
        self._name = app
        self._hub = ray.get_actor(hub, namespace=NAMESPACE)
        self._refusal: dict[str, str] | None = None
        self._outbox = _Outbox()
        self._canary: str | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="nbmlops-")
        self._spec = replace(WorkerSpec.read(spec), folder=self._folder.name)
        try:
            self._app = self._load(files, token)
        except Exception as error:  # noqa: BLE001 - whatever a model raises
            if not isinstance(error, NbmlopsError):
                _log.exception("the model does not load")
                error = failure(f"{self._spec.model}/{self._spec.version}", error)
            self._refusal = {"problem": error.problem, "fix": error.fix}
            self._refusal |= {"error": type(error).__name__}
            return
        self._reporting = asyncio.get_running_loop().create_task(self._report_always())

    def _load(self, files: bytes, token: str | None) -> EndpointApp:
        spec = self._spec
        spec.model_folder.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(files)) as archive:
            archive.extractall(spec.model_folder, filter="data")
        target = f"{spec.model}/{spec.version}"
        # It is a copy of its own already, whatever code it may run.
        with checked_files(
            spec.model_folder, target, digest=spec.digest, trust=()
        ) as folder:
            model = load_version(spec, folder)
        return EndpointApp(
            model,
            endpoint=spec.endpoint,
            token=token,
            limits=Limits(
                body_bytes=spec.max_request_bytes, waiting=spec.serving.max_waiting
            ),
            role=spec.role,
            is_batching=spec.serving.batching,
            n_threads=spec.n_threads,
            journal=Journal(
                log=self._outbox if spec.serving.log_share else None,
                feedback=_Labels(self._outbox),
            ),
            is_public=token is not None,  # else any page of a browser could ask
            is_upstream=True,
        )

    async def refusal(self) -> dict[str, str] | None:
        """Return why it does not answer, or None."""
        return self._refusal

    async def answer(self, message: Message) -> Answer:
        """Answer a request as an endpoint elsewhere does."""
        request, app = Request(), self._app
        request.method, request.path, request.headers, request.body, _ = message
        request.request_id = message[4]
        request.arrived = request.complete = perf_counter()
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        refused = app.refuse(request)
        if refused is None and len(request.body) > app.max_body_bytes:
            refused = app.failure(too_large(app.max_body_bytes), request)
        if refused is not None:
            answered.set_result(refused)
        else:
            app.handle(request, answered.set_result)
        response = await answered
        lines = app.headers(request, response).decode("latin-1").splitlines()
        headers: dict[str, str] = dict(line.split(": ", 1) for line in lines)
        del headers["x-request-id"]  # Ray Serve sends it
        headers["content-type"] = response.content_type.decode("ascii")
        return response.status, response.body, {**headers, **response.headers}

    async def _report_always(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_S)
            with suppress(RayError):  # the hub may be starting again
                await self._report()

    async def _report(self) -> None:
        routes, others = await self._hub.report.remote(
            self._name, self._replica, self._app.metrics.snapshot(), self._outbox.take()
        )
        if not routes:
            return
        self._app.set_token(routes["token"])
        self._app.other_snapshots = lambda: others
        if self._spec.role == "champion" and routes.get("canary") != self._canary:
            self._canary = routes.get("canary")
            self._app.metrics.compared = Comparison() if self._canary else None

    async def __del__(self) -> None:
        if self._refusal is None:
            with suppress(RayError):
                await self._report()
        self._folder.cleanup()


class _Outbox:
    """What is to be logged, until it is reported; the newest of it."""

    def __init__(self) -> None:
        self._logged: deque[Logged] = deque(maxlen=_MOST_LOGGED)

    def append(self, logged: LoggedRequest) -> None:
        """Keep a request."""
        self._logged.append(logged)

    def put(self, logged: Logged) -> None:
        """Keep a request, or its labels."""
        self._logged.append(logged)

    def take(self) -> list[Logged]:
        """Return what there is, and forget it."""
        return [self._logged.popleft() for _ in range(len(self._logged))]

    def close(self) -> None:
        """Do nothing: it is reported."""


class _Labels:
    """The truth about requests, among what is to be logged."""

    def __init__(self, outbox: _Outbox) -> None:
        self._outbox = outbox
        self.close = outbox.close

    def append(self, request_id: object, label: object) -> None:
        """Keep labels; UsageError where they cannot be some."""
        self._outbox.put(labels_of(request_id, label))


class Router:
    """Hands each request to a version: the champion, or a canary's share to that."""

    async def __init__(self, hub: str) -> None:  # type: ignore[misc] # as above
        self._name = serve.get_replica_context().replica_id.unique_id
        self._hub = ray.get_actor(hub, namespace=NAMESPACE)
        self._number, routes = await self._hub.routes.remote(self._name)
        self._set(routes)
        loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = {loop.create_task(self._follow())}

    def _set(self, routes: Routes) -> None:
        if routes:  # a hub that has just started again knows none yet
            self._share = routes.get("share", 0.0)
            self._versions = {
                role: serve.get_deployment_handle("Version", routes[role])
                for role in ("champion", "canary", "shadow")
                if routes.get(role)
            }

    async def _follow(self) -> None:
        while True:
            try:
                number, routes = await self._hub.routes.remote(self._name, self._number)
            except RayError:
                await asyncio.sleep(_REPORT_S)
                continue
            self._set(routes)
            self._number = number

    async def __call__(self, http: HttpRequest) -> HttpResponse:
        """Answer a request."""
        headers = {name.lower(): value for name, value in http.scope["headers"]}
        # Ray Serve answers with its own id, or with the one that it was given.
        request_id = headers.get(_REQUEST_ID, b"").decode("latin-1")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = Request().request_id
        path = http.scope.get("raw_path", b"").decode("latin-1") or http.url.path
        message = http.method, path, headers, await http.body(), request_id
        is_scored = http.method == "POST" and path.endswith(("/invocations", "/infer"))
        is_scored = is_scored and "/versions/" not in path
        answer = None
        if is_scored and is_taken(headers, request_id, self._share):
            answer = await self._ask("canary", message)
        if answer is None or answer[0] >= 500:
            answer = await self._ask_champion(message)
        status, body, more = answer
        if is_scored and status == 200 and "shadow" in self._versions:
            task = asyncio.get_running_loop().create_task(self._ask("shadow", message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return HttpResponse(body, status, more)

    async def _ask_champion(self, message: Message) -> Answer:
        for _ in range(2):  # a replica may have ended under it, or just before it
            if (answer := await self._ask("champion", message)) is not None:
                return answer
        headers = {"content-type": "application/json", "retry-after": "1"}
        return 503, _UNAVAILABLE, headers

    async def _ask(self, role: str, message: Message) -> Answer | None:
        """Return a version's answer; None where there is none."""
        version = self._versions.get(role)
        if version is None:
            return None
        try:
            answer: Answer = await version.answer.remote(message)
        except Exception as error:  # noqa: BLE001 - Serve has many of them
            _log.warning("the %s does not answer: %r", role, error)
            return None
        return answer
