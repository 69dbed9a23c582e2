"""Experiments: found by name or by id."""

from __future__ import annotations

from collections.abc import Mapping

from nbmlops.errors import NotFoundError
from nbmlops.store import rest
from nbmlops.store.connection import Store
from nbmlops.store.database import has_tables, select

_PAGE = 1000


def by_id(experiment_id: str) -> str:
    """Return how to name an experiment of which only the id is known."""
    return f"\0{experiment_id}"  # no name holds a NUL


def find_experiment(store: Store, name: str) -> str | None:
    """Return the id of an experiment, deleted or not; None without it."""
    if has_tables(store):
        by_name = "SELECT e.experiment_id FROM experiments e WHERE e.name = :name"
        found = select(store, by_name, name=name)
        return str(found[0][0]) if found else None
    try:
        item = rest.get(store, "experiments/get-by-name", experiment_name=name)
    except NotFoundError:
        return None
    return str(item["experiment"]["experiment_id"])


def list_experiments(store: Store) -> Mapping[str, str]:
    """Return the names of all experiments by id, the newest first."""
    if has_tables(store):
        newest_first = (
            "SELECT e.experiment_id, e.name FROM experiments e "
            "WHERE e.lifecycle_stage = 'active' ORDER BY e.last_update_time DESC"
        )
        return {str(each): name for each, name in select(store, newest_first)}
    pages = rest.pages(store, "POST", "experiments/search", max_results=_PAGE)
    found = [each for page in pages for each in page.get("experiments", ())]
    return {each["experiment_id"]: each["name"] for each in found}


def experiment_name(store: Store, experiment_id: str) -> str:
    """Return the name of an experiment."""
    if has_tables(store):
        by_id = "SELECT e.name FROM experiments e WHERE e.experiment_id = :id"
        found = select(store, by_id, id=int(experiment_id))
        if not found:
            raise NotFoundError(
                f"No experiment of id {experiment_id!r}.", fix="See `nbmlops runs`."
            )
        return str(found[0][0])
    item = rest.get(store, "experiments/get", experiment_id=experiment_id)
    return str(item["experiment"]["name"])
