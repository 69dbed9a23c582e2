"""``endpoints``: where model versions answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from nbmlops.config import Settings
from nbmlops.deployment import local, records
from nbmlops.entities import Endpoint, Page
from nbmlops.errors import UsageError
from nbmlops.lifecycle.deploy import deploy
from nbmlops.scoring.example import read_example
from nbmlops.server._request import Request
from nbmlops.server._route import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointDetail(Endpoint):
    """An endpoint, and rows to try it with."""

    example: Mapping[str, Any] | None


def list_endpoints(request: Request) -> Page[Endpoint]:
    """Return the project's endpoints, dead ones included."""
    return Page(items=local.list_endpoints(request.settings))


def get_endpoint(request: Request) -> EndpointDetail:
    """Return one endpoint."""
    (name,) = request.names
    settings = request.settings
    return _detail(settings, local.get_endpoint(settings, name))


def put_endpoint(request: Request) -> Answer:
    """Deploy a version; the answer comes when the endpoint has answered."""
    (name,) = request.names
    model, alias, version = (request.body[n] for n in ("model", "alias", "version"))
    if alias is None and version is None:
        raise UsageError(
            "An endpoint serves an alias or a version.",
            fix="Send alias or version; with both, the alias moves to the version.",
        )
    target, moves = (
        (f"{model}@{alias}", None) if version is None else (f"{model}/{version}", alias)
    )
    handle = deploy(target, name=name, alias=moves, store=request.store)
    return Answer(
        content=_detail(request.settings, handle.endpoint),
        status=201 if handle.is_new else 200,
    )


def delete_endpoint(request: Request) -> None:
    """Stop an endpoint; nothing is left of it."""
    local.undeploy(request.settings, *request.names)


def predict(request: Request) -> Answer:
    """Send rows to an endpoint with its token; return what it answers."""
    (name,) = request.names
    answer = local.request(
        request.settings, name, request.content, request.content_type
    )
    return Answer(content=answer.body)


def _detail(settings: Settings, endpoint: Endpoint) -> EndpointDetail:
    folder = records.folder_of(settings, endpoint.name)
    example = read_example(folder / "model") if folder else None
    return EndpointDetail(
        **{f.name: getattr(endpoint, f.name) for f in fields(endpoint)},
        example=example.table() if example else None,
    )
