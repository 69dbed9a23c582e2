"""``models``: registered models, their versions and aliases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nbmlops.entities import (
    AliasHistory,
    ModelVersion,
    Page,
    RegisteredModel,
    VersionDetail,
)
from nbmlops.errors import NotFoundError
from nbmlops.lifecycle.history import history
from nbmlops.lifecycle.promote import CHAMPION, promote, rollback
from nbmlops.lifecycle.register import register
from nbmlops.lifecycle.version_detail import get_version_detail
from nbmlops.server._request import Request
from nbmlops.server._route import PAGE, route
from nbmlops.store.registry import registered_models, versions
from nbmlops.store.runs.queries import get_run
from nbmlops.store.runs.resolve import resolve_run


@route("GET", "models", query=("search", *PAGE))
def list_models(request: Request) -> Page[RegisteredModel]:
    """List registered models by name; `search` is a part of the name."""
    if request.found_store is None:
        return Page(items=())
    return registered_models.list_models(
        request.found_store,
        search=request.query.get("search", ""),
        limit=request.limit,
        page_token=request.page_token,
    )


@route("GET", "models/{name}")
def get_model(request: Request) -> RegisteredModel:
    """Return one registered model."""
    return registered_models.get_model(request.store, *request.names)


@route("GET", "models/{name}/versions", query=PAGE)
def list_versions(request: Request) -> Page[ModelVersion]:
    """List a model's versions, newest first."""
    return versions.list_versions(
        request.store,
        *request.names,
        limit=request.limit,
        page_token=request.page_token,
    )


@route("GET", "models/{name}/versions/{version}")
def get_version(request: Request) -> VersionDetail:
    """Return a version with its run, signature, files, endpoints and lineage."""
    model, number = request.names
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise NotFoundError(
            f"{number[:80]!r} is no version.", fix="Give its number, such as 1."
        )
    detail = get_version_detail(request.store, model, int(number))
    return replace(detail, notebook=_below_root(request, detail.notebook))


def _below_root(request: Request, path: str | None) -> str | None:
    """Return a file as the file browser names it; None when it is not to be seen."""
    root, found = request.root.resolve(), Path(path or "").resolve()
    is_below = path is not None and found.is_relative_to(root)
    return found.relative_to(root).as_posix() if is_below else None


@route(
    "POST",
    "models/{name}/versions",
    body={"run_id": str, "alias": str | None, "experiment": str | None},
    status=201,
)
def create_version(request: Request) -> ModelVersion:
    """Register the model of a run."""
    spec, experiment = request.body["run_id"], request.body["experiment"]
    if spec == "latest" or spec.startswith("best:"):
        run = resolve_run(request.store, spec, experiment=experiment, with_model=True)
    else:
        run = get_run(request.store, spec)
    return register(
        *request.names, run=run, alias=request.body["alias"], store=request.store
    )


@route(
    "PUT",
    "models/{name}/aliases/{alias}",
    body={"version": int, "expected": int | None, "reason": str | None},
)
def set_alias(request: Request) -> ModelVersion:
    """Move an alias to a version, unless it has just moved."""
    model, alias = request.names
    version, expected, reason = (
        request.body[name] for name in ("version", "expected", "reason")
    )
    return promote(
        model,
        version,
        to=alias,
        expected=expected,
        reason=reason or "",
        store=request.store,
    )


@route(
    "POST",
    "models/{name}/rollback",
    body={"alias": str | None, "reason": str | None},
)
def roll_back(request: Request) -> ModelVersion:
    """Move an alias, the champion by default, back to the version before."""
    (model,) = request.names
    alias, reason = request.body["alias"] or CHAMPION, request.body["reason"] or ""
    return rollback(model, alias, reason=reason, store=request.store)


@route("GET", "models/{name}/history", query=("alias", "at"))
def get_history(request: Request) -> AliasHistory:
    """Return which versions an alias, the champion by default, named when."""
    (model,) = request.names
    alias, at = (request.query.get(name) for name in ("alias", "at"))
    view = history(model, alias or CHAMPION, at=at or None, store=request.store)
    return view.history
