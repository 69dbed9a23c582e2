"""Registered models: the names that versions are registered under."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nbmlops.entities import Page, RegisteredModel
from nbmlops.errors import NotFoundError, UsageError, did_you_mean
from nbmlops.store import rest
from nbmlops.store.connection import Store
from nbmlops.store.database import has_tables, select
from nbmlops.store.runs.fields import to_utc
from nbmlops.store.runs.queries import listed
from nbmlops.store.runs.search_language import quoted

DELETED = "Deleted_Internal"
WORKSPACE = "default"  # MLflow's for all, unless it keeps several apart
_AFTER = "after:"
# One statement for a page, which is then of one moment.
_MODELS = """
WITH page AS (
  SELECT m.workspace, m.name, m.description, m.last_updated_time
  FROM registered_models m WHERE m.workspace = :workspace AND {condition}
)
SELECT 'model' AS kind, p.name, '' AS label, p.description AS text,
  p.last_updated_time AS number FROM page p
UNION ALL
SELECT 'newest', p.name, '', '', (
  SELECT v.version FROM model_versions v WHERE v.workspace = p.workspace
  AND v.name = p.name AND v.current_stage != :deleted ORDER BY v.version DESC LIMIT 1
) FROM page p
UNION ALL
SELECT 'alias', p.name, a.alias, '', a.version FROM page p
JOIN registered_model_aliases a ON a.workspace = p.workspace AND a.name = p.name
UNION ALL
SELECT 'tag', p.name, t.key, t.value, 0 FROM page p
JOIN registered_model_tags t ON t.workspace = p.workspace AND t.name = p.name
ORDER BY kind, name, label
"""


def list_models(
    store: Store, *, search: str = "", limit: int = 25, page_token: str | None = None
) -> Page[RegisteredModel]:
    """Return a page of registered models, by name."""
    registry = registry_of(store)
    if has_tables(registry):
        found = _models(
            registry,
            "lower(m.name) LIKE lower(:like) AND m.name > :after "
            "ORDER BY m.name LIMIT :limit",
            like=f"%{search}%",
            after=_name_in(page_token),
            limit=limit + 1,
        )
        more = f"{_AFTER}{found[limit - 1].name}" if len(found) > limit else None
        return Page(items=found[:limit], next_page_token=more)
    answer = rest.get(
        registry,
        "registered-models/search",
        filter=f"name ILIKE {quoted(f'%{search}%')}" if search else None,
        max_results=limit,
        order_by="name ASC",
        page_token=page_token,
    )
    return Page(
        items=tuple(map(_to_model, answer.get("registered_models", ()))),
        next_page_token=answer.get("next_page_token") or None,
    )


def _name_in(page_token: str | None) -> str:
    """Return the name that a page begins after, whatever models come and go."""
    name = (page_token or _AFTER).removeprefix(_AFTER)
    if page_token and name == page_token:
        raise UsageError(
            f"{page_token[:80]!r} is no page token.",
            fix="Take it from the page before.",
        )
    return name


def get_model(store: Store, name: str) -> RegisteredModel:
    """Return one registered model."""
    registry = registry_of(store)
    cause = None
    if has_tables(registry):
        for model in _models(registry, "m.name = :name", name=name):
            return model
    else:
        try:
            answer = rest.get(registry, "registered-models/get", name=name)
            return _to_model(answer["registered_model"])
        except (NotFoundError, UsageError) as error:
            cause = error
    known = [model.name for model in list_models(store, limit=1000)]
    near = did_you_mean(name, known)
    raise NotFoundError(
        f"No registered model {name!r}.{near}",
        fix=f"Register one with: %register {name or 'MODEL'} --run latest."
        + (f" There are {listed(known)}." if known and not near else ""),
    ) from cause


def registry_of(store: Store) -> Store:
    """Return the store of the registry, which MLflow may have elsewhere."""
    uri = os.environ.get("MLFLOW_REGISTRY_URI")
    return replace(store, uri=uri) if uri else store


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


def _models(
    registry: Store, condition: str, **values: Any
) -> tuple[RegisteredModel, ...]:
    statement = _MODELS.format(condition=condition)
    given = values | {"workspace": WORKSPACE, "deleted": DELETED}
    models: list[tuple[str, str, int]] = []
    newest: dict[str, int | None] = {}
    aliases = defaultdict[str, dict[str, int]](dict)
    tags = defaultdict[str, dict[str, str]](dict)
    for kind, name, label, text, number in select(registry, statement, **given):
        if kind == "model":
            models.append((name, text or "", number))
        elif kind == "newest":
            newest[name] = number
        elif kind == "alias":
            aliases[name][label] = number
        else:
            tags[name][label] = text or ""
    return tuple(
        RegisteredModel(
            name=name,
            aliases=aliases[name],
            latest_version=newest[name],
            description=description,
            updated_at=to_utc(updated_ms),
            tags=tags[name],
        )
        for name, description, updated_ms in models
    )


def _to_model(item: Mapping[str, Any]) -> RegisteredModel:
    newest = [int(each["version"]) for each in item.get("latest_versions", ())]
    return RegisteredModel(
        name=item["name"],
        aliases={a["alias"]: int(a["version"]) for a in item.get("aliases", ())},
        latest_version=max(newest, default=None),
        description=item.get("description", ""),
        updated_at=to_utc(int(item["last_updated_timestamp"])),
        tags={tag["key"]: tag.get("value", "") for tag in item.get("tags", ())},
    )
