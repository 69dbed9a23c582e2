"""Aliases, moved only from the version that they are expected to name."""

from __future__ import annotations

from nbmlops.errors import NotFoundError
from nbmlops.store.connection import Store, answering
from nbmlops.store.database import connected, has_tables
from nbmlops.store.registry.registered_models import (
    DELETED,
    WORKSPACE,
    get_model,
    list_models,
    registry_of,
)

_LARGEST_PAGE = 1000
_MOVE = (
    "UPDATE registered_model_aliases SET version = :version "
    "WHERE workspace = :workspace AND name = :name AND alias = :alias "
    "AND version = :expected AND EXISTS (SELECT 1 FROM model_versions "
    "WHERE workspace = :workspace AND name = :name AND version = :version "
    "AND current_stage != :deleted)"
)
_SET = (
    "INSERT INTO registered_model_aliases (workspace, name, alias, version) "
    "SELECT v.workspace, v.name, :alias, v.version FROM model_versions v "
    "WHERE v.workspace = :workspace AND v.name = :name AND v.version = :version "
    "AND v.current_stage != :deleted ON CONFLICT DO NOTHING"
)


def find_aliases(store: Store, model: str) -> dict[str, int]:
    """Return the version of each alias; none when the model is not there."""
    try:
        return dict(get_model(store, model).aliases)
    except NotFoundError:
        return {}


def find_all_aliases(store: Store) -> dict[str, dict[str, int]]:
    """Return the version of each alias of each model."""
    found: dict[str, dict[str, int]] = {}
    token = None
    while True:
        page = list_models(store, limit=_LARGEST_PAGE, page_token=token)
        found |= {model.name: dict(model.aliases) for model in page}
        token = page.next_page_token
        if token is None:
            return found


def compare_and_set(
    store: Store, model: str, alias: str, version: int, *, expected: int | None
) -> bool:
    """Move an alias if it names the expected version; return whether it did.

    A database does both in one statement. A server has no such request: the alias is
    read before and after, so that only a move within those milliseconds is missed.
    """
    registry = registry_of(store)
    if has_tables(registry):
        statement = _SET if expected is None else _MOVE
        given = {} if expected is None else {"expected": expected}
        with connected(registry) as connection:
            n_rows = connection.change(
                statement,
                workspace=WORKSPACE,
                deleted=DELETED,
                name=model,
                alias=alias,
                version=version,
                **given,
            )
        return n_rows == 1
    if find_aliases(store, model).get(alias) != expected:
        return False
    with answering(store):
        store.client.set_registered_model_alias(model, alias, str(version))
    return find_aliases(store, model).get(alias) == version
