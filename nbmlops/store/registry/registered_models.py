"""Registered models: the names that versions are registered under."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbmlops.entities import Page, RegisteredModel
from nbmlops.errors import NotFoundError, UsageError, did_you_mean
from nbmlops.store.connection import Store, answering
from nbmlops.store.runs.queries import listed, quoted, to_utc, token_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel as MlflowModel


def list_models(
    store: Store, *, search: str = "", limit: int = 25, page_token: str | None = None
) -> Page[RegisteredModel]:
    """Return a page of registered models, by name."""
    condition = f"name ILIKE {quoted(f'%{search}%')}" if search else None
    with answering(store):
        found = store.client.search_registered_models(
            filter_string=condition,
            max_results=limit,
            order_by=["name ASC"],
            page_token=page_token,
        )
    return Page(items=tuple(map(_to_model, found)), next_page_token=token_of(found))


def get_model(store: Store, name: str) -> RegisteredModel:
    """Return one registered model."""
    try:
        with answering(store):
            return _to_model(store.client.get_registered_model(name))
    except (NotFoundError, UsageError) as error:
        known = [model.name for model in list_models(store, limit=1000)]
        near = did_you_mean(name, known)
        raise NotFoundError(
            f"No registered model {name!r}.{near}",
            fix=f"Register one with: %register {name or 'MODEL'} --run latest."
            + (f" There are {listed(known)}." if known and not near else ""),
        ) from error


def create_model(store: Store, name: str) -> None:
    """Make a registered model, unless it is there."""
    from mlflow.exceptions import MlflowException

    try:
        store.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def check_names(name: str, alias: str | None = None) -> None:
    """Refuse a model name or an alias MLflow would refuse later."""
    if not name.strip() or re.search(r"[/:@\x00-\x1f]", name) or name in (".", ".."):
        raise UsageError(
            f"{name!r} cannot name a registered model.",
            fix="Use letters, digits, spaces, '-', '_' and '.', without '/', ':', '@'.",
        )
    if alias is None:
        return
    if (
        not re.fullmatch(r"[\w-]{1,255}", alias)
        or alias.lower() == "latest"
        or re.fullmatch(r"[vV]?\d+", alias)
    ):
        raise UsageError(
            f"{alias!r} cannot be an alias.",
            fix="Use letters, digits, '-' and '_'; 'latest' and version numbers are "
            "taken.",
        )


def _to_model(model: MlflowModel) -> RegisteredModel:
    newest = [int(version.version) for version in model.latest_versions or []]
    return RegisteredModel(
        name=model.name,
        aliases={alias: int(version) for alias, version in model.aliases.items()},
        latest_version=max(newest, default=None),
        description=model.description or "",
        updated_at=to_utc(model.last_updated_timestamp),
    )
