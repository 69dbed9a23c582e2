"""Datasets a run used, recorded as MLflow's inputs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbmlops._hashing import frame_digest
from nbmlops.entities import Column, LoggedDataset
from nbmlops.store.backend import backend
from nbmlops.store.connection import Store, answering

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Dataset

_SCHEMA_ROWS = 1000


def describe(frame: pd.DataFrame, *, name: str, context: str = "") -> dict[str, str]:
    """Return all that is recorded of a frame.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        The data; it is not stored.
    name : str
        Name of the dataset.
    context : str, default=""
        What it was used for, such as ``training``.

    Returns
    -------
    dict of str to str
        ``name``, ``digest`` over all of it, ``schema``, ``profile`` and ``context``.
    """
    n_rows, n_columns = frame.shape
    return {
        "name": name,
        # MLflow's own digest reads 10,000 rows of some types.
        "digest": frame_digest(frame),
        "schema": _schema(frame.head(_SCHEMA_ROWS)),
        "profile": json.dumps({"num_rows": n_rows, "num_elements": n_rows * n_columns}),
        "context": context,
    }


def send_dataset(store: Store, run_id: str, described: Mapping[str, str]) -> None:
    """Record that a run used the data; once recorded it stays so.

    Parameters
    ----------
    store : Store
        Where the run is.
    run_id : str
        The run.
    described : Mapping of str to str
        As `describe` returned it.

    Raises
    ------
    StoreError
        The store did not answer.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    facts = dict(described)
    context = facts.pop("context")
    source = json.dumps({"tags": {}})
    entity = Dataset(source_type="code", source=source, **facts)
    tags = [InputTag("mlflow.data.context", context)] if context else []
    with answering(store):
        backend(store).log_inputs(run_id, [DatasetInput(entity, tags)])


def _schema(frame: pd.DataFrame) -> str:
    from mlflow.exceptions import MlflowException
    from mlflow.types.utils import _infer_schema

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            columns = _infer_schema(frame).to_dict()
        except MlflowException:  # a type MLflow has no word for
            columns = [
                {"type": str(dtype), "name": str(name), "required": True}
                for name, dtype in frame.dtypes.items()
            ]
    return json.dumps({"mlflow_colspec": columns})


def list_datasets(store: Store, run_id: str) -> tuple[LoggedDataset, ...]:
    """Return the data that a run recorded as its input, by whatever library.

    Parameters
    ----------
    store : Store
        Where the run is.
    run_id : str
        The run.

    Returns
    -------
    tuple of LoggedDataset
        By name, context and digest; each once.

    Raises
    ------
    NotFoundError
        There is no such run.
    StoreError
        The store did not answer.
    """
    with answering(store, missing=f"No run {run_id!r}.", fix="List them with %runs."):
        inputs = backend(store).get_run(run_id).inputs
    found = {
        _to_dataset(
            each.dataset,
            next((t.value for t in each.tags if t.key == "mlflow.data.context"), ""),
        )
        for each in (inputs.dataset_inputs if inputs else ())
    }
    return tuple(sorted(found, key=lambda d: (d.name, d.context, d.digest)))


def _to_dataset(dataset: Dataset, context: str) -> LoggedDataset:
    columns = _columns(_mapping(dataset.schema))
    profile = _mapping(dataset.profile)
    shape = profile.get("features_shape")  # of an array
    if isinstance(shape, list):
        n_rows, n_columns = (*shape, None, None)[:2]
    else:
        n_rows, n_columns = profile.get("num_rows"), len(columns) or None
    return LoggedDataset(
        name=dataset.name,
        digest=dataset.digest,
        context=context,
        n_rows=n_rows if isinstance(n_rows, int) else None,
        n_columns=n_columns if isinstance(n_columns, int) else None,
        columns=columns,
    )


def _columns(schema: dict[str, Any]) -> tuple[Column, ...]:
    """Return the columns of a schema in any of the forms MLflow's libraries write."""
    listed = schema.get("mlflow_colspec")
    if isinstance(listed, list):
        return tuple(
            Column(
                name=str(each.get("name", "")),
                type=str(each.get("type")),
                is_required=bool(each.get("required", True)),
            )
            for each in listed
            if isinstance(each, dict)
        )
    tensors = schema.get("mlflow_tensorspec")
    parts = tensors if isinstance(tensors, dict) else schema
    return tuple(Column(name=name, type=str(spec)) for name, spec in parts.items())


def _mapping(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:  # written by hand
        return {}
    return found if isinstance(found, dict) else {}
