"""The routes of an endpoint."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from time import perf_counter, time_ns
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import numpy as np

from nbmlops._masking import mask
from nbmlops.errors import DeployError, NbmlopsError, UsageError
from nbmlops.scoring.ranges import RangeCheck
from nbmlops.scoring.request import (
    Table,
    read_object,
    read_request,
    read_text,
    refusal,
)
from nbmlops.serving.fast_reader import FastReader
from nbmlops.serving.feedback import Feedback
from nbmlops.serving.forward import REQUEST_ID, Canary, Shadow
from nbmlops.serving.http import Reply, Request, Response
from nbmlops.serving.metrics import Comparison, Metrics, render
from nbmlops.serving.model import ServedModel
from nbmlops.serving.request_log import LoggedRequest, RequestLog
from nbmlops.serving.scorer import Job, Scorer

_log = logging.getLogger(__name__)
_HOSTS = frozenset(("127.0.0.1", "localhost", "::1"))
_MOST_WAITING = 64
_PREDICT_S = 60.0
_FEEDBACK = 'Send {"request_id": ..., "label": ...}; a list has a label for each row.'
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much an endpoint takes at once."""

    body_bytes: int = 10_000_000
    waiting: int = _MOST_WAITING
    predict_s: float = _PREDICT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Where requests and their labels are written, if anywhere."""

    log: RequestLog | None = None
    feedback: Feedback | None = None

    def close(self) -> None:
        """Write what was appended."""
        for each in (self.log, self.feedback):
            if each is not None:
                each.close()


class EndpointApp:
    """Answers for one model version; what `nbmlops.serving.http.App` is to be."""

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
    ) -> None:
        self.journal = journal or Journal()
        self.max_body_bytes = limits.body_bytes
        self._model, self._endpoint, self._limits = model, endpoint, limits
        self.set_token(token)
        self._base = f"/endpoints/{endpoint}"
        self._good_hosts: set[bytes] = set()
        target = quote(f"{model.name}/{model.version}", safe="/ ")
        self._target = target.encode()
        self._is_upstream = role != "champion"
        self._canary: Canary | None = None
        self._shadow: Shadow | None = None
        self.metrics = Metrics(f"{model.name}/{model.version}", role)
        self._scorer = Scorer(model, is_batching=is_batching, n_threads=n_threads)
        self.metrics.unseen = self._scorer.unseen
        if role == "canary":
            self.metrics.compared = Comparison()
        self._reader = FastReader(model.spec) if model.takes_arrays else None
        self._ranges = RangeCheck(model.spec) if model.spec.ranges else None
        self._names = [column.name for column in model.spec.columns]
        self._in_flight: dict[Job, Callable[[], None]] = {}
        self.other_snapshots: Callable[[], Sequence[dict[str, Any]]] = lambda: ()
        self._routes: dict[str, tuple[str, Callable[[Request, Reply], None]]] = {
            "/invocations": ("POST", self._invocations),
            "/ping": ("GET", self._ping),
            "/health": ("GET", self._ping),
            "/version": ("GET", self._version),
            "/metrics": ("GET", self._metrics),
            "/feedback": ("POST", self._feedback),
        }
        self._invocations_path = f"{self._base}/invocations"

    def set_token(self, token: str | None) -> None:
        """Ask for another token from now on."""
        self._token = None if token is None else f"Bearer {token}".encode()

    # -- nbmlops.serving.http.App

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
            if not _is_here(host) or not _is_here_or_none(headers.get(b"origin")):
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
        """Answer a request by its route."""
        if request.path == self._invocations_path and request.method == "POST":
            self._invocations(request, reply)
            return
        path = request.path
        route = None
        if path.startswith(self._base):
            route = self._routes.get(path[len(self._base) :])
        if route is None:
            reply(self._no_route(request, 404, "there is nothing here"))
        elif request.method not in (route[0], "HEAD" if route[0] == "GET" else ""):
            reply(self._no_route(request, 405, f"send {route[0]}", {"allow": route[0]}))
        else:
            route[1](request, reply)

    def failure(
        self,
        error: NbmlopsError,
        request: Request,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Return an error as its status and ``{error, message, fix}``."""
        document: dict[str, Any] = {
            "error": type(error).__name__,
            "message": mask(error.problem),
            "fix": mask(error.fix),
        }
        if isinstance(error, UsageError) and error.faults:
            document["faults"] = list(error.faults)
        self.metrics.statuses[error.status] += 1
        return Response(_encode(document), status=error.status, headers=headers)

    # -- routes

    def _ping(self, _: Request, reply: Reply) -> None:
        reply(Response(b"\n"))

    def _version(self, _: Request, reply: Reply) -> None:
        reply(Response(installed_version("mlflow").encode()))

    def _metrics(self, _: Request, reply: Reply) -> None:
        self.metrics.in_flight = len(self._in_flight)
        self.metrics.queue = self._scorer.n_waiting
        snapshots = [self.metrics.snapshot(), *self.other_snapshots()]
        text = render(self._endpoint, snapshots)
        kind = b"text/plain; version=1.0.0; charset=utf-8"
        reply(Response(text, content_type=kind))

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
        fix = "Use POST /invocations, or GET /ping, /health, /version or /metrics, "
        error = refusal(problem, fix=f"{fix}below the URL.", status=status)
        return self.failure(error, request, headers)

    def _invocations(self, request: Request, reply: Reply) -> None:
        if self._canary is not None and self._canary.takes(request):
            self._canary.answer(request, reply, lambda: self._score(request, reply))
        else:
            self._score(request, reply)

    def _score(self, request: Request, reply: Reply) -> None:
        if len(self._in_flight) >= self._limits.waiting:
            reply(self._busy(request))
            return
        try:
            rows, n_rows, output = self._read(request)
        except NbmlopsError as error:
            reply(self.failure(error, request))
            self._write_log(request, error.status, None, None)
            return

        def done(job: Job) -> None:
            del self._in_flight[job]
            response = self._answer(request, job)
            reply(response)
            if self._shadow is not None and response.status == 200:
                self._shadow.send(request, response.body)

        job = Job(rows, n_rows, (output,), done)
        self._in_flight[job] = lambda: reply(self._too_late(request))
        self._scorer.submit(job)

    def _read(self, request: Request) -> tuple[np.ndarray[Any, Any] | Table, int, str]:
        content_type = request.headers.get(b"content-type", b"")
        if self._reader is not None and content_type == b"application/json":
            found = self._reader.read(request.body)
            request.parsed = perf_counter()
            if found is not None and self._is_usual(found[0]):
                array, output = found
                if output != "predictions":
                    self._check_output(output)
                return array, len(array), output
        kind = self._model.spec.kind
        table = read_request(request.body, content_type.decode("latin-1"), kind=kind)
        request.parsed = perf_counter()
        self._check_output(table.output)
        return table, _n_rows(table), table.output

    def _is_usual(self, rows: np.ndarray[Any, Any]) -> bool:
        """Return whether rows may be predicted without a closer look."""
        if self._ranges is None:
            return True
        n_outside = self._ranges.count(rows)
        if n_outside and self._model.spec.out_of_range == "warn":
            self._scorer.unseen["out_of_range"] += n_outside
            return True
        return not n_outside

    def _check_output(self, output: str) -> None:
        if output not in ("predictions", "probabilities"):
            read_request(
                _encode({"inputs": [0], "params": {"output": output}}),
                "application/json",
            )
        self._model.function(output)

    def _answer(self, request: Request, job: Job) -> Response:
        if job.error is not None:
            error, rows = job.error, None  # what does not fit has no column
            if not isinstance(error, UsageError):
                error, rows = self._failed(request, error), job.rows
                if self.metrics.compared is not None:
                    self.metrics.compared.add(500, 0.0, ())
            self._write_log(request, error.status, rows, None)
            return self.failure(error, request)
        (output,) = job.outputs
        found = job.results[output]
        document: dict[str, Any] = {"predictions": found}
        if output == "probabilities":
            document["classes"] = np.asarray(self._model.classes).tolist()
        body = _encode(document)
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
        rows: np.ndarray[Any, Any] | Table | None,
        outputs: list[Any] | None,
    ) -> None:
        if self.journal.log is None:
            return
        seconds = perf_counter() - request.arrived
        self.journal.log.append(
            LoggedRequest(
                request_id=request.request_id,
                time_ns=time_ns() - int(seconds * 1e9),
                version=self._model.version,
                route=self.metrics.role,
                status=status,
                latency_us=int(seconds * 1e6),
                inputs=self._columns(rows) if isinstance(rows, Table) else rows,
                outputs=outputs,
            )
        )

    def _columns(self, table: Table) -> tuple[Sequence[Any], ...] | None:
        """Return the columns of a table in the order of the signature."""
        if table.records is not None:
            return tuple([row.get(n) for row in table.records] for n in self._names)
        if table.sparse is not None:
            return None
        names = table.names or self._names
        found = dict(zip(names, table.columns, strict=False))
        gaps = [None] * len(table.columns[0])
        return tuple(found.get(name, gaps) for name in self._names)

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
            f"The model did not answer within {self._limits.predict_s:.0f} s.",
            fix="Send fewer rows, or see in the endpoint's metrics what is slow.",
        )
        late.status = 504
        return self.failure(late, request)


def _text(request: Request) -> str:
    kind = request.headers.get(b"content-type", b"").decode("latin-1")
    return read_text(request.body, kind, ("application/json",))[1]


def _n_rows(table: Table) -> int:
    if table.records is not None:
        return len(table.records)
    if table.sparse is not None:
        shape = table.sparse.get("shape")
        return int(shape[0]) if isinstance(shape, list) and shape else 0
    return len(table.columns[0])


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
