"""The routes of an endpoint."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from time import perf_counter
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec
import numpy as np

from nbmlops._masking import mask
from nbmlops.errors import DeployError, NbmlopsError, UsageError
from nbmlops.scoring.request import Table, read_object, read_text, refusal
from nbmlops.serving.forward import REQUEST_ID, Canary, Shadow
from nbmlops.serving.http.messages import Reply, Request, Response
from nbmlops.serving.metrics import Comparison, Metrics, render
from nbmlops.serving.model import ServedModel
from nbmlops.serving.protocols._protocol import ScoringProtocol
from nbmlops.serving.protocols.mlflow import Invocations
from nbmlops.serving.protocols.openapi import describe
from nbmlops.serving.protocols.v2 import V2, Route
from nbmlops.serving.request_log.journal import Journal
from nbmlops.serving.scorer import Job, Scorer

_log = logging.getLogger(__name__)
_HOSTS = frozenset(("127.0.0.1", "localhost", "::1"))
_MOST_WAITING = 64
_PREDICT_S = 60.0
_EXPLAIN = "/explain/"
_MOST_EXPLAINED = 2
_FEEDBACK = 'Send {"request_id": ..., "label": ...}; a list has a label for each row.'
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much an endpoint takes at once."""

    body_bytes: int = 10_000_000
    waiting: int = _MOST_WAITING
    predict_s: float = _PREDICT_S


class EndpointApp:
    """Answers for one model version: an `nbmlops.serving.http.messages.App`."""

    def __init__(
        self,
        model: ServedModel,
        *,
        endpoint: str,
        token: str | None,
        limits: Limits,
        role: str = "champion",
        is_batching: bool = True,
        n_threads: int = 1,
        journal: Journal | None = None,
        is_public: bool = False,
        is_upstream: bool = False,
    ) -> None:
        self._is_public = is_public
        self.journal = journal or Journal()
        self.max_body_bytes = limits.body_bytes
        self._model, self._endpoint, self._limits = model, endpoint, limits
        self.set_token(token)
        self._base = f"/endpoints/{endpoint}"
        self._good_hosts: set[bytes] = set()
        target = quote(f"{model.name}/{model.version}", safe="/ ")
        self._target = target.encode()
        self._is_upstream = is_upstream or role != "champion"
        self._canary: Canary | None = None
        self._shadow: Shadow | None = None
        self.metrics = Metrics(f"{model.name}/{model.version}", role)
        self._scorer = Scorer(model, is_batching=is_batching, n_threads=n_threads)
        self.metrics.unseen = self._scorer.unseen
        if role == "canary":
            self.metrics.compared = Comparison()
        self._invocations_protocol = Invocations(model, self._scorer.unseen)
        self._v2 = V2(model, self._scorer.unseen)
        self._in_flight: dict[Job, Callable[[], None]] = {}
        self._is_watching = False
        self.other_snapshots: Callable[[], Iterable[dict[str, Any]]] = tuple
        self.explain: Callable[[str], dict[str, Any]] | None = None
        self._explaining: set[asyncio.Task[None]] = set()
        self._routes: dict[str, tuple[str, Callable[[Request, Reply], None]]] = {
            "/invocations": ("POST", self._invocations),
            "/ping": ("GET", self._ping),
            "/health": ("GET", self._ping),
            "/version": ("GET", self._version),
            "/metrics": ("GET", self._metrics),
            "/feedback": ("POST", self._feedback),
            "/openapi.json": ("GET", self._openapi),
        }
        self._invocations_path = f"{self._base}/invocations"

    def set_token(self, token: str | None) -> None:
        """Ask for another token from now on."""
        self._token = None if token is None else f"Bearer {token}".encode()

    # -- nbmlops.serving.http.messages.App

    def begin(self, request: Request) -> None:
        """Keep the id that a request has where it was handed on from."""
        if self._is_upstream and REQUEST_ID in request.headers:
            request.request_id = request.headers[REQUEST_ID].decode("latin-1")

    def headers(self, request: Request, response: Response) -> bytes:
        """Return who answers which request."""
        version = response.version or self._target
        return b"x-request-id: %s\r\nx-model-version: %s\r\n" % (
            request.request_id.encode("latin-1"),
            version,
        )

    def set_routes(self, canary: Canary | None, shadow: Shadow | None) -> None:
        """Hand requests on from now on, or no longer."""
        for before in (self._canary, self._shadow):
            if before is not None:
                before.close()
        self._canary, self._shadow = canary, shadow
        self.metrics.compared = Comparison() if canary else None

    def refuse(self, request: Request) -> Response | None:
        """Refuse requests without the token, from elsewhere, or too large."""
        headers = request.headers
        host = headers.get(b"host", b"")
        if host not in self._good_hosts or b"origin" in headers:
            is_host = self._is_public or _is_here(host)
            if not is_host or not _is_here_or_none(headers.get(b"origin")):
                return self.failure(
                    refusal(
                        "This endpoint answers its own machine alone.",
                        fix="Send it to 127.0.0.1, not from another site's page.",
                        status=403,
                    ),
                    request,
                )
            if len(self._good_hosts) < 100:
                self._good_hosts.add(host)
        given = headers.get(b"authorization", b"")
        if self._token is not None and not hmac.compare_digest(given, self._token):
            return self.failure(
                refusal(
                    "The bearer token is missing or wrong.",
                    fix="Send 'Authorization: Bearer TOKEN'; "
                    "nbmlops.endpoint(NAME).token is it.",
                    status=401,
                ),
                request,
                {"www-authenticate": "Bearer"},
            )
        if headers.get(b"content-encoding", b"identity") != b"identity":
            return self.failure(
                refusal(
                    "A compressed body is not read.", fix="Send it plain.", status=415
                ),
                request,
            )
        return None

    def handle(self, request: Request, reply: Reply) -> None:
        """Answer a request by its route, below the endpoint's URL or the port's."""
        if request.path == self._invocations_path and request.method == "POST":
            self._invocations(request, reply)
            return
        path = request.path.removeprefix(self._base)
        route = self._routes.get(path)
        if route is not None:
            method, answer = route
        elif self.explain is not None and path.startswith(_EXPLAIN):
            method, answer = "GET", partial(self._explain, self.explain)
        else:
            try:
                found = self._v2.route(path)
            except UsageError as error:
                reply(self.failure(error, request))
                return
            if found is None:
                reply(self._no_route(request, 404, "there is nothing here"))
                return
            method = "GET" if found.document else "POST"
            answer = partial(self._answer_v2, found)
        if request.method in (method, "HEAD" if method == "GET" else ""):
            answer(request, reply)
        else:
            reply(self._no_route(request, 405, f"send {method}", {"allow": method}))

    def failure(
        self,
        error: NbmlopsError,
        request: Request,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Return an error as its status and ``{error, message, fix}``.

        Clients of V2 show ``error``, and so it is the message there.
        """
        document: dict[str, Any] = {
            "error": type(error).__name__,
            "message": mask(error.problem),
            "fix": mask(error.fix),
        }
        if request.path.removeprefix(self._base).startswith("/v2"):
            document["error"] = "{message} {fix}".format_map(document)
        if isinstance(error, UsageError) and error.faults:
            document["faults"] = list(error.faults)
        self.metrics.statuses[error.status] += 1
        try:
            body = _encode(document)
        except UnicodeEncodeError:  # half a character, in a name that was sent
            body = json.dumps(document).encode()
        return Response(body, status=error.status, headers=headers)

    # -- routes

    def _ping(self, _: Request, reply: Reply) -> None:
        reply(Response(b"\n"))

    def _version(self, _: Request, reply: Reply) -> None:
        try:
            found = installed_version("mlflow")
        except PackageNotFoundError:  # in a container, which needs none
            found = str(self._model.document.get("mlflow_version", ""))
        reply(Response(found.encode()))

    def _metrics(self, _: Request, reply: Reply) -> None:
        self.metrics.in_flight = len(self._in_flight)
        self.metrics.queue = self._scorer.n_waiting
        snapshots = [self.metrics.snapshot(), *self.other_snapshots()]
        text = render(self._endpoint, snapshots)
        kind = b"text/plain; version=1.0.0; charset=utf-8"
        reply(Response(text, content_type=kind))

    def _openapi(self, _: Request, reply: Reply) -> None:
        has_token = self._token is not None
        document = describe(
            self._model,
            base=self._base,
            has_token=has_token,
            explains=self.explain is not None,
        )
        reply(Response(_encode(document)))

    def _explain(
        self,
        explain: Callable[[str], dict[str, Any]],
        request: Request,
        reply: Reply,
    ) -> None:
        """Explain in a process of its own, a few requests at once."""
        if len(self._explaining) >= _MOST_EXPLAINED:
            reply(self._busy(request))
            return
        request_id = unquote(request.path.rpartition(_EXPLAIN)[2])

        async def answer() -> None:
            try:
                found = await asyncio.to_thread(explain, request_id)
            except DeployError as error:  # it may quote rows
                _log.error("request %s: %s", request_id, error.problem)
                unsaid = DeployError(
                    "The request could not be explained.",
                    fix="See why in the endpoint's log.",
                )
                reply(self.failure(unsaid, request))
            except NbmlopsError as error:
                reply(self.failure(error, request))
            else:
                reply(Response(_encode(found)))

        task = asyncio.get_running_loop().create_task(answer())
        self._explaining.add(task)
        task.add_done_callback(self._explaining.discard)

    def _feedback(self, request: Request, reply: Reply) -> None:
        try:
            document = read_object(_text(request), fix=_FEEDBACK)
            if set(document) != {"request_id", "label"}:
                raise refusal(
                    "The label of a request is wanted, and nothing else.",
                    fix=_FEEDBACK,
                )
            if self.journal.feedback is not None:
                self.journal.feedback.append(document["request_id"], document["label"])
        except NbmlopsError as error:
            reply(self.failure(error, request))
        else:
            reply(Response(b"{}", status=202))

    def _no_route(
        self,
        request: Request,
        status: int,
        why: str,
        headers: dict[str, str] | None = None,
    ) -> Response:
        problem = f"{request.method} {request.path[:200]}: {why}."
        fix = (
            "Use POST /invocations, or GET /ping, /health, /version, /metrics or "
            f"/v2/models/{quote(self._model.name, safe='')}, below the URL."
        )
        error = refusal(problem, fix=fix, status=status)
        return self.failure(error, request, headers)

    def _invocations(self, request: Request, reply: Reply) -> None:
        self._predict(request, reply, self._invocations_protocol)

    def _answer_v2(self, route: Route, request: Request, reply: Reply) -> None:
        if route.document is not None:
            reply(Response(_encode(route.document())))
            return
        request.path = self._base + self._v2.infer_path  # as others know it
        if route.has_version:  # which no other version answers
            self._score(request, reply, self._v2)
        else:
            self._predict(request, reply, self._v2)

    def _predict(
        self, request: Request, reply: Reply, protocol: ScoringProtocol
    ) -> None:
        if self._canary is not None and self._canary.takes(request):
            self._canary.answer(
                request, reply, lambda: self._score(request, reply, protocol)
            )
        else:
            self._score(request, reply, protocol)

    def _score(self, request: Request, reply: Reply, protocol: ScoringProtocol) -> None:
        if len(self._in_flight) >= self._limits.waiting:
            reply(self._busy(request))
            return
        try:
            asked = protocol.read(request)
        except NbmlopsError as error:
            reply(self.failure(error, request))
            self._write_log(request, error.status)
            return

        def done(job: Job) -> None:
            if self._in_flight.pop(job, None) is None:
                return  # it is too late
            try:
                if job.error is not None:
                    raise job.error
                response = self._answer(request, job, protocol.write(job, asked))
            except Exception as error:  # noqa: BLE001 - whatever a model raises
                response = self._answer_failed(request, job, error)
            reply(response)
            if self._shadow is not None and response.status == 200:
                self._shadow.send(request, response.body)

        job = Job(asked.rows, asked.n_rows, asked.outputs, done, request.begin)
        self._in_flight[job] = lambda: reply(self._too_late(request))
        self._scorer.submit(job)
        if not self._is_watching:
            self._is_watching = True
            self._watch_later()

    def _watch_later(self) -> None:
        asyncio.get_running_loop().call_later(self._limits.predict_s / 8, self._watch)

    def _watch(self) -> None:
        """Answer those who have waited too long."""
        before = perf_counter() - self._limits.predict_s
        self._scorer.give_up(before)
        for job in [job for job in self._in_flight if job.queued_at < before]:
            self._in_flight.pop(job)()
        self._is_watching = bool(self._in_flight)
        if self._is_watching:
            self._watch_later()

    def _answer_failed(self, request: Request, job: Job, error: Exception) -> Response:
        rows = None  # what does not fit has no column
        if not isinstance(error, UsageError):
            error, rows = self._failed(request, error), job.rows
            if self.metrics.compared is not None:
                self.metrics.compared.add(500, 0.0, ())
        self._write_log(request, error.status, rows)
        return self.failure(error, request)

    def _answer(self, request: Request, job: Job, body: bytes) -> Response:
        found = job.results.get("predictions") or job.results[job.outputs[0]]
        start, now = request.arrived, perf_counter()
        self.metrics.answered(200, now - start)
        if self.metrics.compared is not None:
            self.metrics.compared.add(200, now - start, found)
        self.metrics.batch.observe(job.batch_rows)
        self._write_log(request, 200, job.rows, found)
        timing = (
            f"read;dur={(request.complete - start) * 1e3:.3f}, "
            f"parse;dur={(request.parsed - request.complete) * 1e3:.3f}, "
            f"validate;dur={(job.queued_at - request.parsed) * 1e3:.3f}, "
            f"queue;dur={(job.begun_at - job.queued_at) * 1e3:.3f}, "
            f"predict;dur={(job.ended_at - job.begun_at) * 1e3:.3f}, "
            f"write;dur={(now - job.ended_at) * 1e3:.3f}, "
            f"total;dur={(now - start) * 1e3:.3f}"
        )
        return Response(body, headers={"server-timing": timing})

    def _write_log(
        self,
        request: Request,
        status: int,
        rows: np.ndarray[Any, Any] | Table | None = None,
        outputs: list[Any] | None = None,
    ) -> None:
        self.journal.write(
            request,
            self._model,
            route=self.metrics.role,
            status=status,
            rows=rows,
            outputs=outputs,
        )

    def _failed(self, request: Request, error: Exception) -> DeployError:
        _log.error("request %s: the model raised %r", request.request_id, error)
        failure = DeployError(
            f"The model failed on this request, {request.request_id}.",
            fix="Look for that id in the endpoint's log.",
        )
        failure.status = 500
        return failure

    def _busy(self, request: Request) -> Response:
        busy = DeployError("The endpoint is busy.", fix="Send it again in a second.")
        busy.status = 503
        return self.failure(busy, request, {"retry-after": "1"})

    def _too_late(self, request: Request) -> Response:
        late = DeployError(
            f"The model did not answer within {self._limits.predict_s:g} s.",
            fix="Send fewer rows, or see in the endpoint's metrics what is slow.",
        )
        late.status = 504
        return self.failure(late, request)


def _text(request: Request) -> str:
    kind = request.headers.get(b"content-type", b"").decode("latin-1")
    return read_text(request.body, kind, ("application/json",))[1]


def _is_here(host: bytes) -> bool:
    try:
        return urlsplit(f"//{host.decode('latin-1')}").hostname in _HOSTS
    except ValueError:
        return False


def _is_here_or_none(origin: bytes | None) -> bool:
    if origin is None:
        return True
    try:
        return urlsplit(origin.decode("latin-1")).hostname in _HOSTS
    except ValueError:
        return False
