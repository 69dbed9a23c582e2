"""``endpoints``: where model versions answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from nbmlops.config import Settings
from nbmlops.deployment import actions, endpoints, metrics, records
from nbmlops.entities import Column, Endpoint, EndpointMetrics, Page
from nbmlops.errors import UsageError
from nbmlops.lifecycle.deploy import deploy
from nbmlops.scoring.example import read_example
from nbmlops.scoring.signature import read_mlmodel, read_signature
from nbmlops.server._request import Request
from nbmlops.server._route import Response, route


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointDetail(Endpoint):
    """An endpoint, rows to try it with, the columns it takes, and its token's file.

    ``canary_rules`` are those of its canary; without one, those it would begin with.
    """

    canary_rules: Mapping[str, float]
    example: Mapping[str, Any] | None
    columns: tuple[Column, ...]
    token_path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLog:
    """The end of an endpoint's log."""

    lines: tuple[str, ...]


@route("GET", "endpoints")
def list_endpoints(request: Request) -> Page[Endpoint]:
    """List the project's endpoints."""
    return Page(items=endpoints.list_endpoints(request.settings))


@route("GET", "endpoints/{name}")
def get_endpoint(request: Request) -> EndpointDetail:
    """Return one endpoint, and rows to try it with."""
    (name,) = request.names
    settings = request.settings
    return _detail(settings, endpoints.get_endpoint(settings, name))


@route(
    "PUT",
    "endpoints/{name}",
    action="execute",
    body={
        "model": str,
        "alias": str | None,
        "version": int | None,
        "target": str | None,
    },
    status=201,
    answers=EndpointDetail,
)
def put_endpoint(request: Request) -> Response:
    """Deploy a version: 201 when made, 200 when it was there."""
    (name,) = request.names
    model, alias, version = (request.body[n] for n in ("model", "alias", "version"))
    if alias is None and version is None:
        raise UsageError(
            "An endpoint serves an alias or a version.",
            fix="Send alias or version; with both, the alias moves to the version.",
        )
    served, moves = (
        (f"{model}@{alias}", None) if version is None else (f"{model}/{version}", alias)
    )
    handle = deploy(
        served,
        name=name,
        alias=moves,
        target=request.body["target"],
        store=request.store,
    )
    return Response(
        content=_detail(request.settings, handle.endpoint),
        status=201 if handle.is_new else 200,
    )


@route("DELETE", "endpoints/{name}", status=204)
def delete_endpoint(request: Request) -> None:
    """Stop an endpoint and remove its files."""
    actions.undeploy(request.settings, *request.names)


@route("POST", "endpoints/{name}/predict", action="execute")
def predict(request: Request) -> Response:
    """Predict rows in MLflow's scoring protocol."""
    (name,) = request.names
    answer = endpoints.request(
        request.settings, name, request.content, request.content_type
    )
    return Response(content=answer.body)


@route("GET", "endpoints/{name}/metrics")
def get_metrics(request: Request) -> EndpointMetrics:
    """Return what the versions of an endpoint have answered, and how fast."""
    return metrics.read_metrics(request.settings, *request.names)


@route("GET", "endpoints/{name}/log")
def get_log(request: Request) -> EndpointLog:
    """Return the last lines of an endpoint's log, 100 at most."""
    return EndpointLog(lines=records.read_log_end(request.settings, *request.names))


@route(
    "PUT",
    "endpoints/{name}/canary",
    action="execute",
    body={"version": int, "share": float, "rules": dict[str, Any] | None},
)
def put_canary(request: Request) -> EndpointDetail:
    """Have a version answer a share of the requests, or change its share and rules."""
    (name,) = request.names
    version, share, rules = (request.body[n] for n in ("version", "share", "rules"))
    model = records.get_record(request.settings, name).champion.model
    handle = deploy(
        f"{model}/{version}", name=name, canary=share, rules=rules, store=request.store
    )
    return _detail(request.settings, handle.endpoint)


@route("POST", "endpoints/{name}/promote", action="execute")
def promote(request: Request) -> EndpointDetail:
    """Make the canary the champion."""
    (name,) = request.names
    return _detail(request.settings, actions.promote(request.settings, name))


@route("POST", "endpoints/{name}/abort")
def abort(request: Request) -> EndpointDetail:
    """End the canary; the champion answers all requests."""
    (name,) = request.names
    return _detail(request.settings, actions.abort(request.settings, name))


@route("POST", "endpoints/{name}/rollback", action="execute")
def roll_back(request: Request) -> EndpointDetail:
    """End the canary, or serve the version before."""
    (name,) = request.names
    return _detail(request.settings, actions.roll_back(request.settings, name))


def _detail(settings: Settings, endpoint: Endpoint) -> EndpointDetail:
    record = records.find_record(records.root(settings), endpoint.name)
    folder = records.model_folder(settings, record) if record else None
    example = read_example(folder) if folder else None
    signature = read_signature(read_mlmodel(folder)) if folder else None
    has_token = record is not None and not record.no_auth
    token = records.token_path(settings, endpoint.name) if has_token else None
    canary = record.canary if record else None
    return EndpointDetail(
        **{f.name: getattr(endpoint, f.name) for f in fields(endpoint)},
        canary_rules=canary.rules if canary else actions.RULES,
        example=example.table() if example else None,
        columns=signature.inputs if signature else (),
        token_path=str(token) if token else None,
    )
