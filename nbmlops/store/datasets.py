"""Datasets a run used, recorded as MLflow's inputs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nbmlops._hashing import frame_digest
from nbmlops.store.backend import backend
from nbmlops.store.connection import Store, answering

if TYPE_CHECKING:
    import pandas as pd

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
