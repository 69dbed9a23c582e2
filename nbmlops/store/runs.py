"""Runs are made, filled and ended here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from nbmlops.entities import RunStatus
from nbmlops.errors import UsageError
from nbmlops.store.connection import Store, answering

SOURCE = "mlflow.source.name"
PARENT = "mlflow.parentRunId"
_BATCH = 100


def create_run(
    store: Store,
    *,
    name: str,
    experiment: str,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Open a run and return its id.

    Parameters
    ----------
    store : Store
        Where to record it.
    name : str
        The run's name.
    experiment : str
        Its experiment, made when missing.
    tags : Mapping of str to str, optional
        Tags it carries from the start.

    Returns
    -------
    str
        MLflow's run id.

    Raises
    ------
    UsageError
        MLflow refuses a name or a value.
    StoreError
        The store did not answer.
    """
    with answering(store):
        client = store.client
        run = client.create_run(
            _experiment_id(store, experiment),
            tags=dict(tags or {}),
            run_name=name,
        )
    return str(run.info.run_id)


def _experiment_id(store: Store, name: str) -> str:
    """Return the id of the experiment, made when missing."""
    from mlflow.exceptions import MlflowException

    client = store.client
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException as error:
            found = client.get_experiment_by_name(name)
            if found is None or error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    if found.lifecycle_stage == "deleted":
        raise UsageError(
            f"Experiment {name!r} was deleted.",
            fix="Restore it with `mlflow experiments restore`, or name another.",
        )
    return str(found.experiment_id)


def log_values(
    store: Store,
    run_id: str,
    *,
    metrics: Mapping[str, float] | None = None,
    step: int = 0,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Append metrics, params and tags to a run, in batches MLflow takes.

    Parameters
    ----------
    store : Store
        Where the run is.
    run_id : str
        The run.
    metrics : Mapping of str to float, optional
        Values at ``step``.
    step : int, default=0
        Step of the metrics.
    params : Mapping of str to object, optional
        Params, written as ``str`` of each value.
    tags : Mapping of str to str, optional
        Tags, replacing those of the same name.

    Raises
    ------
    UsageError
        A param was logged before with another value, or a name is refused.
    StoreError
        The store did not answer.
    """
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    values: list[Any] = [
        *(
            Metric(key, float(value), now, step)
            for key, value in (metrics or {}).items()
        ),
        *(Param(key, str(value)) for key, value in (params or {}).items()),
        *(RunTag(key, str(value)) for key, value in (tags or {}).items()),
    ]
    with answering(store, missing=f"No run {run_id!r}.", fix="List them with %runs."):
        for start in range(0, len(values), _BATCH):
            batch = values[start : start + _BATCH]
            store.client.log_batch(
                run_id,
                metrics=[item for item in batch if isinstance(item, Metric)],
                params=[item for item in batch if isinstance(item, Param)],
                tags=[item for item in batch if isinstance(item, RunTag)],
            )


def end_run(
    store: Store,
    run_id: str,
    status: RunStatus,
    *,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Set the status a run ended with.

    Parameters
    ----------
    store : Store
        Where the run is.
    run_id : str
        The run.
    status : RunStatus
        ``FINISHED``, ``FAILED`` or ``KILLED``.
    tags : Mapping of str to str, optional
        What else is known at the end.

    Raises
    ------
    StoreError
        The store did not answer.
    """
    if tags:
        log_values(store, run_id, tags=tags)
    with answering(store):
        store.client.set_terminated(run_id, status)
