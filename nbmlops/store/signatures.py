"""The signature and the example rows of a model, in MLflow's own notation."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import TYPE_CHECKING, Any

from nbmlops.entities import Column, Signature
from nbmlops.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

Rows = Any
"""DataFrame, Series, ndarray, sparse matrix or sequence, one item a sample."""

N_EXAMPLE_ROWS = 5
"""Rows of the training data that are stored with a model."""

_COLUMN_TYPES = {
    # What pandas finds in a column, as MLflow's type; an integer becomes a double,
    # since the next batch of it may have missing values.
    "boolean": "boolean",
    "bytes": "binary",
    "date": "datetime",
    "datetime": "datetime",
    "datetime64": "datetime",
    "decimal": "double",
    "floating": "double",
    "integer": "double",
    "integer-na": "double",
    "mixed-integer-float": "double",
    "string": "string",
}
_TENSOR_TYPES = {
    "bool": "boolean",
    "datetime64[ns]": "datetime",
    "float32": "float",
    "float64": "double",
    "int32": "integer",
    "int64": "long",
    "object": "string",
    "str": "string",
}


def as_table(model: object, data: Rows) -> Rows:
    """Return ``data`` as the model is best called with it.

    Parameters
    ----------
    model : object
        A fitted estimator.
    data : DataFrame, Series, ndarray, sparse matrix or sequence
        Rows it was fitted on; other columns beside its own do no harm.

    Returns
    -------
    DataFrame or ndarray
        A DataFrame when the columns have names, from the data or from the estimator.
        Of a sparse matrix, only the first rows.
    """
    import numpy as np

    names = list(getattr(model, "feature_names_in_", []))
    columns = list(getattr(data, "columns", []))
    if columns and all(isinstance(name, str) for name in columns):
        return data[names] if names and set(names) <= set(columns) else data
    if hasattr(data, "tocsr"):
        rows = data.tocsr()[:N_EXAMPLE_ROWS].toarray()
    else:
        try:
            rows = np.asarray(data)
        except ValueError:  # items of different lengths
            rows = np.empty(len(data), dtype=object)
            rows[:] = data
    if names and rows.shape[1:] == (len(names),):
        import pandas as pd

        return pd.DataFrame(rows, columns=names)
    return rows


def infer_schemas(model: object, table: Rows) -> dict[str, str | None]:
    """Return a model's signature as MLflow writes it.

    Parameters
    ----------
    model : object
        A fitted estimator.
    table : DataFrame or ndarray
        What `as_table` returned: all rows, since a column is optional when any of
        them lacks it. All columns are when the model predicts a row of gaps.

    Returns
    -------
    dict of str to str or None
        ``inputs``, ``outputs`` and ``params``, as JSON.

    Raises
    ------
    UsageError
        The model cannot predict the rows.
    """
    if hasattr(table, "columns"):
        inputs = _frame_schema(table, takes_gaps=_takes_gaps(model, table))
    else:
        inputs = _tensor_schema(table, widen=True)
    outputs: list[dict[str, object]] = []
    if predict := getattr(model, "predict", None):
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        try:
            # On a busy machine the threads of a boosted model would spend a second
            # waiting for each other over five rows.
            with threadpool_limits(1, user_api="openmp"), _quiet(model):
                outputs = _tensor_schema(predict(table[:N_EXAMPLE_ROWS]))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise UsageError(
                f"The {type(model).__name__} cannot predict the example it came with: "
                f"{error}.",
                fix="Give as the example the rows, and only the columns, it was "
                "fitted on.",
            ) from error
    return {
        "inputs": json.dumps(inputs),
        "outputs": json.dumps(outputs) if outputs else None,
        "params": None,
    }


def signature_of(schemas: dict[str, str | None]) -> Signature:
    """Return the Signature that MLflow's notation stands for."""
    inputs, outputs = (
        json.loads(schemas.get(side) or "[]") for side in ("inputs", "outputs")
    )
    return Signature(
        inputs=tuple(c for spec in inputs for c in _columns(spec, "0")),
        outputs=tuple(c for spec in outputs for c in _columns(spec, "")),
    )


def _columns(spec: dict[str, Any], unnamed: str) -> Sequence[Column]:
    if spec["type"] != "tensor":
        required = spec.get("required", not spec.get("optional", False))
        name = spec.get("name", unnamed)
        return [Column(name=name, type=str(spec["type"]), is_required=required)]
    tensor = spec["tensor-spec"]
    kind = _TENSOR_TYPES.get(tensor["dtype"], tensor["dtype"])
    if len(tensor["shape"]) != 2 or tensor["shape"][1] < 1:
        return [Column(name=spec.get("name", unnamed), type=kind)]
    return [Column(name=str(i), type=kind) for i in range(tensor["shape"][1])]


def _frame_schema(frame: pd.DataFrame, *, takes_gaps: bool) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "type": (kind := _column_type(frame[name])),
            "required": not (
                takes_gaps or kind == "any" or bool(frame[name].isna().any())
            ),
        }
        for name in frame.columns
    ]


@contextmanager
def _quiet(model: Any) -> Iterator[None]:  # noqa: ANN401
    """Keep a model from telling of predictions that the user has not asked for."""
    params = model.get_params() if hasattr(model, "get_params") else {}
    loud = {
        key: value
        for key, value in params.items()
        # A param may be an array or an unfitted forest, which have no truth value.
        if key.rpartition("__")[2] == "verbose"
        and isinstance(value, Real)
        and float(value) > 0
    }
    if loud:
        model.set_params(**dict.fromkeys(loud, 0))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if loud:
            model.set_params(**loud)


def _takes_gaps(model: object, frame: pd.DataFrame) -> bool:
    """Return whether the model predicts a row in which every value is missing."""
    import pandas as pd

    predict = getattr(model, "predict", None)
    if predict is None:
        return False
    numeric = frame.select_dtypes("number").columns
    kinds = {name: float if name in numeric else object for name in frame.columns}
    row = pd.DataFrame({name: [float("nan")] for name in frame.columns}).astype(kinds)
    try:
        with _quiet(model):
            predict(row)
    except (ValueError, TypeError, LookupError, AttributeError):
        return False
    return True


def _column_type(column: pd.Series[Any]) -> str:
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.dtype.categories.to_series()
    return _COLUMN_TYPES.get(pd.api.types.infer_dtype(column, skipna=True), "any")


def _tensor_schema(values: Rows, *, widen: bool = False) -> list[dict[str, object]]:
    import numpy as np

    rows = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    match rows.dtype.kind:
        case "i" | "u":
            kind = "float64" if widen else "int64"
        case "f":
            kind = "float64"
        case "b":
            kind = "bool"
        case "U":
            kind = "str"
        case "M":
            kind = "datetime64[ns]"
        case _:
            kind = "object"
    shape = [-1, *rows.shape[1:]]
    return [{"type": "tensor", "tensor-spec": {"dtype": kind, "shape": shape}}]


def example_document(rows: Rows) -> object:
    """Return rows as JSON: ``{columns, data}`` of a frame, else nested lists."""
    if hasattr(rows, "columns"):
        cells = rows.astype(object).to_numpy().tolist()
        return {"columns": list(rows.columns), "data": _plain(cells)}
    return _plain(rows.tolist())


def _plain(value: object) -> object:
    """Return what JSON can say of cells; what is missing or infinite is null."""
    import math

    import pandas as pd

    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if hasattr(value, "item"):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)
