"""Runs are read and found here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from nbmlops.entities import Page, Run
from nbmlops.errors import NotFoundError, did_you_mean
from nbmlops.store.connection import Store
from nbmlops.store.database import has_tables
from nbmlops.store.experiments import find_experiment, list_experiments
from nbmlops.store.fluent import current_experiment
from nbmlops.store.runs.api_reader import ApiReader
from nbmlops.store.runs.fields import PARENT, RunQuery
from nbmlops.store.runs.search_language import quoted
from nbmlops.store.runs.table_reader import TableReader

RunReader = TableReader | ApiReader


def run_reader(store: Store, query: RunQuery) -> RunReader:
    """Return what reads the store fastest."""
    return (TableReader if has_tables(store) else ApiReader)(store, query)


def get_run(store: Store, run_id: str) -> Run:
    """Return one run."""
    if re.fullmatch(r"[0-9a-fA-F]{32}", run_id):
        reader = run_reader(store, RunQuery(experiment_ids=()))
        if isinstance(reader, ApiReader):
            return reader.run(run_id)
        for run in reader.runs([run_id], None):
            return run
    raise NotFoundError(
        f"No run {run_id!r}.", fix="List them with %runs or `nbmlops runs`."
    )


def find_runs(store: Store, run_ids: Iterable[str]) -> dict[str, Run]:
    """Return those of these runs that are there, by id."""
    ids = sorted(set(run_ids))
    if not ids:
        return {}
    # A server looks for runs in the experiments that it is given.
    among = () if has_tables(store) else tuple(experiment_ids(store, None))
    reader = run_reader(store, RunQuery(experiment_ids=among))
    return {run.run_id: run for run in reader.runs(ids, None)}


def list_runs(
    store: Store,
    *,
    experiment: str | None = None,
    filter: str = "",
    order_by: str | None = None,
    limit: int = 25,
    page_token: str | None = None,
) -> Page[Run]:
    """Return a page of runs, newest first unless ordered otherwise."""
    query = RunQuery(
        experiment_ids=tuple(experiment_ids(store, experiment)),
        filter=filter,
        order_by=order_by,
        is_folded=False,
    )
    return run_reader(store, query).page(limit, page_token)


def iterate_runs(store: Store, **query: Any) -> Iterator[Run]:
    """Yield the runs of all pages of `list_runs`."""
    token = None
    while True:
        page = list_runs(store, page_token=token, **query)
        yield from page
        token = page.next_page_token
        if token is None:
            return


def list_running(store: Store) -> tuple[Run, ...]:
    """Return the runs of all experiments that have not ended, newest first."""
    return tuple(iterate_runs(store, filter="attributes.status = 'RUNNING'", limit=200))


def list_children(store: Store, run_id: str) -> tuple[Run, ...]:
    """Return the runs whose parent is this one, newest first."""
    return tuple(
        iterate_runs(store, filter=f"tags.{PARENT} = {quoted(run_id)}", limit=200)
    )


def experiment_ids(store: Store, name: str | None) -> list[str]:
    """Return the id of an experiment, or of all; none before the project's is made."""
    if name is None:
        return list(list_experiments(store))
    found = find_experiment(store, name)
    if found is not None:
        return [found]
    if name in (store.settings.experiment, current_experiment(store)):
        return []  # its runs are on their way
    names = list(list_experiments(store).values())
    raise NotFoundError(
        f"No experiment {name!r}.{did_you_mean(name, names)}",
        fix=f"Name one of: {listed(names)}.",
    )


def listed(names: Iterable[str], most: int = 8) -> str:
    """Return the first names, quoted, and how many more there are.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    quoted_names = [repr(name) for name in names]
    more = len(quoted_names) - most
    shown = ", ".join(quoted_names[:most])
    return f"{shown} and {more:,} more" if more > 0 else shown
