"""Datasets a run used, recorded as MLflow's inputs."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

from nbmlops._hashing import frame_digest
from nbmlops.entities import DatasetVersion
from nbmlops.store.connection import Store, answering

if TYPE_CHECKING:
    import pandas as pd

_SCHEMA_ROWS = 1000


def log_dataset(
    store: Store, run_id: str, frame: pd.DataFrame, *, name: str, context: str = ""
) -> DatasetVersion:
    """Record that a run used a frame, by a digest over all of it.

    Parameters
    ----------
    store : Store
        Where the run is.
    run_id : str
        The run.
    frame : DataFrame of shape (n_rows, n_columns)
        The data; it is not stored.
    name : str
        Name of the dataset.
    context : str, default=""
        What it was used for, such as ``training``.

    Returns
    -------
    DatasetVersion
        Its digest and size.

    Raises
    ------
    StoreError
        The store did not answer.
    """
    dataset = DatasetVersion(
        name=name,
        digest=frame_digest(frame),
        n_rows=frame.shape[0],
        n_columns=frame.shape[1],
    )
    with answering(store):
        client = store.client
        # MLflow's own digest reads 10,000 rows of some types, hence the entity by hand.
        from mlflow.entities import Dataset, DatasetInput, InputTag

        profile = {"num_rows": dataset.n_rows, "num_elements": int(frame.size)}
        entity = Dataset(
            name=name,
            digest=dataset.digest,
            source_type="code",
            source=json.dumps({"tags": {}}),
            schema=_schema(frame.head(_SCHEMA_ROWS)),
            profile=json.dumps(profile),
        )
        tags = [InputTag("mlflow.data.context", context)] if context else []
        client.log_inputs(run_id, [DatasetInput(entity, tags)])
    return dataset


def list_datasets(store: Store, run_id: str) -> tuple[DatasetVersion, ...]:
    """Return the datasets that a run used.

    Parameters
    ----------
    store : Store
        Where the run is.
    run_id : str
        The run.

    Returns
    -------
    tuple of DatasetVersion
        By name and digest; sizes that were not recorded are 0.
    """
    with answering(store):
        run = store.client.get_run(run_id)
    inputs = run.inputs.dataset_inputs if run.inputs else []
    found = []
    for each in inputs:
        profile = json.loads(each.dataset.profile or "null")
        profile = profile if isinstance(profile, dict) else {}
        n_rows = int(profile.get("num_rows") or 0)
        found.append(
            DatasetVersion(
                name=each.dataset.name,
                digest=each.dataset.digest,
                n_rows=n_rows,
                n_columns=int(profile.get("num_elements") or 0) // max(n_rows, 1),
            )
        )
    return tuple(sorted(found, key=lambda item: (item.name, item.digest)))


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
