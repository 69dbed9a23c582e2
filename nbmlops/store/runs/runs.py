"""Runs are made, filled and ended here, so that doing it twice does it once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nbmlops.entities import RunStatus
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.store.backend import backend
from nbmlops.store.connection import Store, answering
from nbmlops.store.runs.fields import ENDED_BECAUSE, KEY

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

_BATCH = 100


def create_run(store: Store, **given: Any) -> str:
    """Open a run as `make_run` does, and return its id."""
    return str(make_run(store, **given).info.run_id)


def make_run(
    store: Store,
    *,
    name: str,
    experiment: str,
    tags: Mapping[str, str] | None = None,
    started_at_ms: int | None = None,
) -> MlflowRun:
    """Open a run and return it."""
    from mlflow.entities import RunTag

    carried = dict(tags or {})
    with answering(store):
        made: MlflowRun = backend(store).create_run(
            experiment_id=experiment_id(store, experiment),
            user_id=carried.get("mlflow.user", "unknown"),
            start_time=started_at_ms or int(time.time() * 1000),
            tags=[RunTag(key, str(value)) for key, value in carried.items()],
            run_name=name,
        )
    return made


def find_by_key(store: Store, key: str, *, experiment: str) -> tuple[MlflowRun, ...]:
    """Return the runs that were made for a key, the oldest first."""
    from mlflow.entities import ViewType

    with answering(store):
        found = backend(store).search_runs(
            [experiment_id(store, experiment)],
            f"tags.`{KEY}` = '{key}'",
            ViewType.ACTIVE_ONLY,
            max_results=100,
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        )
        return tuple(found)


def delete_run(store: Store, run_id: str) -> None:
    """Mark a run as deleted, as MLflow does."""
    with answering(store):
        backend(store).delete_run(run_id)


def experiment_id(store: Store, name: str) -> str:
    """Return the id of the experiment, made when missing."""
    if name.startswith("\0"):
        return name[1:]
    from mlflow.exceptions import MlflowException

    with answering(store):
        asked = backend(store)
        found = asked.get_experiment_by_name(name)
        if found is None:
            try:
                return str(asked.create_experiment(name, None, []))
            except MlflowException as error:
                found = asked.get_experiment_by_name(name)
                if found is None or error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
    if found.lifecycle_stage == "deleted":
        raise UsageError(
            f"Experiment {name!r} was deleted.",
            fix="Restore it with `mlflow experiments restore`, or name another.",
        )
    return str(found.experiment_id)


Point = tuple[str, float, int, int]
"""A metric's name, value, time in milliseconds since 1970, and step."""


def send(
    store: Store,
    run_id: str,
    *,
    metrics: Sequence[Point] = (),
    params: Sequence[tuple[str, str]] = (),
    tags: Sequence[tuple[str, str]] = (),
) -> None:
    """Add one batch to a run; what is there already is left as it is."""
    from mlflow.entities import Metric, Param, RunTag

    with answering(store, missing=f"No run {run_id!r}.", fix="List them with %runs."):
        backend(store).log_batch(
            run_id,
            [Metric(*point) for point in metrics],
            [Param(*pair) for pair in params],
            [RunTag(*pair) for pair in tags],
        )


def log_values(
    store: Store,
    run_id: str,
    *,
    metrics: Mapping[str, float] | None = None,
    step: int = 0,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Append metrics, params and tags to a run, in batches MLflow takes."""
    now = int(time.time() * 1000)
    points = [(key, float(value), now, step) for key, value in (metrics or {}).items()]
    pairs = [(key, str(value)) for key, value in (params or {}).items()]
    labels = [(key, str(value)) for key, value in (tags or {}).items()]
    for start in range(0, max(len(points), len(pairs), len(labels)), _BATCH):
        batch = slice(start, start + _BATCH)
        send(
            store,
            run_id,
            metrics=points[batch],
            params=pairs[batch],
            tags=labels[batch],
        )


def reopen_run(store: Store, run_id: str) -> None:
    """Take back that a run has ended: its process was silent, and goes on."""
    from mlflow.entities import RunStatus as MlflowStatus

    asked: Any = backend(store)  # its interface leaves out what all stores have
    with suppress(NotFoundError), answering(store):  # it may have no such tag
        asked.delete_tag(run_id, ENDED_BECAUSE)
    with answering(store, missing=f"No run {run_id!r}.", fix="List them with %runs."):
        asked.update_run_info(run_id, MlflowStatus.RUNNING, None, None)


def end_run(
    store: Store,
    run_id: str,
    status: RunStatus,
    *,
    tags: Mapping[str, str] | None = None,
    ended_at_ms: int | None = None,
) -> None:
    """Set the status a run ended with."""
    if tags:
        log_values(store, run_id, tags=tags)
    from mlflow.entities import RunStatus as MlflowStatus

    with answering(store, missing=f"No run {run_id!r}.", fix="List them with %runs."):
        asked = backend(store)
        if ended_at_ms is None:  # the clock may have gone back since the run began
            began_ms = asked.get_run(run_id).info.start_time
            ended_at_ms = max(began_ms, int(time.time() * 1000))
        asked.update_run_info(
            run_id, MlflowStatus.from_string(status), ended_at_ms, None
        )
