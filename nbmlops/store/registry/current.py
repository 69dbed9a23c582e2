"""What stands in the registry now, without MLflow's seconds where a file will tell."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass

from nbmlops.errors import NotFoundError
from nbmlops.store.connection import Store
from nbmlops.store.embedded import database
from nbmlops.store.registry.registered_models import get_model
from nbmlops.store.registry.versions import MODEL_ID, get_version

_VERSION = (
    "SELECT (SELECT value FROM model_version_tags t WHERE t.key = ?"
    " AND t.name = v.name AND t.version = v.version) FROM model_versions v"
    " WHERE v.name = ? AND v.version = ? AND v.current_stage != 'Deleted_Internal'"
)
_ALIASES = "SELECT alias, version FROM registered_model_aliases WHERE name = ?"


@dataclass(frozen=True, slots=True)
class Standing:
    """A version that is there."""

    model_id: str | None
    aliases: Mapping[str, int]


def find_standing(store: Store, name: str, version: int) -> Standing | None:
    """Return what is known of a version, or None when it is gone."""
    if store.is_embedded:
        with suppress(sqlite3.Error):  # MLflow will say what is wrong
            return _read(store, name, version)
    try:
        found = get_version(store, name, version)
        return Standing(found.model_id, get_model(store, name).aliases)
    except NotFoundError:
        return None


def _read(store: Store, name: str, version: int) -> Standing | None:
    uri = f"{database(store.settings.home).absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        row = connection.execute(_VERSION, (MODEL_ID, name, version)).fetchone()
        aliases = dict(connection.execute(_ALIASES, (name,)))
    return None if row is None else Standing(row[0], aliases)
