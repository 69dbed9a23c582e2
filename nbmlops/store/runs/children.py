"""The runs below a run; that there are none costs one selection."""

from __future__ import annotations

from nbmlops.entities import Run
from nbmlops.store.backend import backend
from nbmlops.store.connection import Store, answering
from nbmlops.store.runs.queries import iterate_runs, quoted
from nbmlops.store.runs.runs import PARENT
from nbmlops.store.runs.sql import mappers


def list_children(store: Store, run_id: str) -> tuple[Run, ...]:
    """Return the runs whose parent is this one, newest first."""
    if not may_have_children(store, run_id):
        return ()
    return tuple(
        iterate_runs(store, filter=f"tags.{PARENT} = {quoted(run_id)}", limit=200)
    )


def may_have_children(store: Store, run_id: str) -> bool:
    """Return whether a run may have runs below it; most runs of notebooks have none."""
    if store.is_served:
        return True
    tracking = backend(store)
    if not hasattr(tracking, "ManagedSessionMaker"):
        return True
    tag = mappers().SqlTag
    with answering(store), tracking.ManagedSessionMaker() as session:
        found = session.query(tag.run_uuid).filter(
            tag.key == PARENT, tag.value == run_id
        )
        return found.first() is not None
