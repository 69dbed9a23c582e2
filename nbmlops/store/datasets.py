"""Datasets a run used, recorded as MLflow's inputs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbmlops._hashing import (
    NoDigestError,
    array_digest,
    frame_digest,
    list_digest,
    sparse_digest,
)
from nbmlops.entities import Column, LoggedDataset
from nbmlops.errors import UsageError
from nbmlops.scoring.schema import column_type, frame_schema
from nbmlops.store import rest
from nbmlops.store.backend import backend
from nbmlops.store.connection import Store, answering
from nbmlops.store.database import has_tables, select

if TYPE_CHECKING:
    import pandas as pd

_SCHEMA_ROWS = 1000
_LONGEST_SCHEMA = 1_000_000
_TENSOR = "mlflow_tensorspec"
_CONTEXT = "mlflow.data.context"
_INPUTS = (
    "SELECT d.name, d.digest, d.dataset_schema, d.dataset_profile, t.value "
    "FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id "
    "LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid "
    "AND t.name = 'mlflow.data.context' WHERE i.source_type = 'DATASET' "
    "AND i.destination_type = 'RUN' AND i.destination_id = :id"
)


def describe(
    data: Any,  # noqa: ANN401 - rows of any form
    *,
    name: str,
    context: str = "",
) -> tuple[dict[str, str], tuple[int, ...]]:
    """Return all that is recorded of data."""
    if isinstance(data, Iterator):
        raise UsageError(
            f"Dataset {name!r} is a {type(data).__name__}: reading it would use it up.",
            fix="Make a list of it, and use that here and in your code.",
        )
    try:
        # MLflow's own digest reads 10,000 rows of some types.
        digest, schema, shape = _digest_of(data, name)
    except NoDigestError as error:
        raise UsageError(
            f"Dataset {name!r} holds objects of type {error}, which cannot be "
            "compared.",
            fix="Give numbers, texts, times, or lists and dicts of them.",
        ) from error
    except RecursionError as error:
        raise UsageError(
            f"Dataset {name!r} holds itself.", fix="Give a table, an array or a list."
        ) from error
    if len(schema) > _LONGEST_SCHEMA:
        schema = json.dumps(_tensor("any", shape))
    profile: dict[str, object] = {
        "num_rows": shape[0],
        "num_elements": math.prod(shape),
    }
    if _TENSOR in schema[:50]:
        profile["features_shape"] = list(shape)
    described = {
        "name": name,
        "digest": digest,
        "schema": schema,
        "profile": json.dumps(profile),
        "context": context,
    }
    return described, shape


def _digest_of(data: Any, name: str) -> tuple[str, str, tuple[int, ...]]:  # noqa: ANN401
    """Return the digest of data, its schema and its shape, by its own kind."""
    import numpy as np

    if hasattr(type(data), "tocsr"):
        shape = tuple(int(n) for n in data.shape)
        schema = _tensor(data.dtype.name, shape)
        return sparse_digest(data), json.dumps(schema), shape
    if isinstance(data, list | tuple):
        return list_digest(data), *_list_schema(data)
    if isinstance(data, np.ndarray) and data.ndim > 2:
        schema = _tensor(data.dtype.name, data.shape)
        return array_digest(data), json.dumps(schema), data.shape
    frame = _as_frame(data, name)
    columns = frame_schema(frame.head(_SCHEMA_ROWS))
    digest = frame_digest(frame)
    return digest, json.dumps({"mlflow_colspec": columns}), frame.shape


def _as_frame(data: Any, name: str) -> pd.DataFrame:  # noqa: ANN401
    import numpy as np
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data
    if hasattr(data, "to_pandas"):
        data = data.to_pandas()
    elif hasattr(data, "__array__") and not isinstance(data, pd.Series | pd.Index):
        data = np.asarray(data)
    is_known = isinstance(data, pd.DataFrame | pd.Series | pd.Index | np.ndarray | dict)
    problem = UsageError(
        f"Dataset {name!r} is a {type(data).__name__}, not a table.",
        fix="Give a DataFrame, a Series, an array, a sparse matrix or a list of rows.",
    )
    if not is_known:
        raise problem
    try:
        frame = pd.DataFrame(data)
    except (TypeError, ValueError) as error:
        raise problem from error
    if frame is not data:
        frame.columns = frame.columns.map(str)
    return frame


def _list_schema(rows: Sequence[Any]) -> tuple[str, tuple[int, ...]]:
    if rows and all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(str(key) for row in rows for key in row))
        head = rows[:_SCHEMA_ROWS]
        columns = [
            {"name": key, "type": _type_of([row.get(key) for row in head])}
            for key in names
        ]
        return json.dumps({"mlflow_colspec": columns}), (len(rows), len(names))
    widths = {len(row) if isinstance(row, list | tuple) else 1 for row in rows}
    is_table = len(widths) == 1 and any(isinstance(row, list | tuple) for row in rows)
    cells = [v for row in rows[:_SCHEMA_ROWS] for v in row] if is_table else rows
    kind = _type_of(list(cells[:_SCHEMA_ROWS]))
    shape = (len(rows), *widths) if is_table else (len(rows), 1)
    return json.dumps(_tensor(kind, shape)), shape


def _type_of(values: list[Any]) -> str:
    import pandas as pd

    return column_type(pd.Series(values, dtype=object))


def _tensor(kind: str, shape: Sequence[int]) -> dict[str, object]:
    spec = {"dtype": kind, "shape": [-1, *shape[1:]]}
    listed = json.dumps([{"type": "tensor", "tensor-spec": spec}])
    return {_TENSOR: {"features": listed, "targets": None}}


def send_dataset(store: Store, run_id: str, described: Mapping[str, str]) -> None:
    """Record that a run used the data; once recorded it stays so."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    facts = dict(described)
    context = facts.pop("context")
    source = json.dumps({"tags": {}})
    entity = Dataset(source_type="code", source=source, **facts)
    tags = [InputTag(_CONTEXT, context)] if context else []
    with answering(store):
        backend(store).log_inputs(run_id, [DatasetInput(entity, tags)])


def list_datasets(store: Store, run_id: str) -> tuple[LoggedDataset, ...]:
    """Return the data that a run recorded as its input, by whatever library."""
    if has_tables(store):
        found = {_to_dataset(*row) for row in select(store, _INPUTS, id=run_id)}
    else:
        run = rest.get_run(store, run_id)
        found = set()
        for each in run.get("inputs", {}).get("dataset_inputs", ()):
            tags = {tag["key"]: tag["value"] for tag in each.get("tags", ())}
            data = each["dataset"]
            described = data.get("schema"), data.get("profile")
            found.add(
                _to_dataset(
                    data["name"], data["digest"], *described, tags.get(_CONTEXT)
                )
            )
    return tuple(sorted(found, key=lambda d: (d.name, d.context, d.digest)))


def _to_dataset(
    name: str, digest: str, schema: str | None, profile: str | None, context: str | None
) -> LoggedDataset:
    columns = _columns(_mapping(schema))
    described = _mapping(profile)
    shape = described.get("features_shape")  # of an array
    if isinstance(shape, list):
        n_rows, n_columns = (*shape, None, None)[:2]
    else:
        n_rows, n_columns = described.get("num_rows"), len(columns) or None
    return LoggedDataset(
        name=name,
        digest=digest,
        context=context or "",
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
    tensors = schema.get(_TENSOR)
    parts = tensors if isinstance(tensors, dict) else schema
    return tuple(
        Column(name=name, type=str(spec)) for name, spec in parts.items() if spec
    )


def _mapping(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:  # written by hand
        return {}
    return found if isinstance(found, dict) else {}
