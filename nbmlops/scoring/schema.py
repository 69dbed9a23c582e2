"""The types of rows, in MLflow's notation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbmlops.errors import UsageError
from nbmlops.scoring.signature import RowKind

if TYPE_CHECKING:
    import pandas as pd

_COLUMN_TYPES = {
    # What pandas finds in a column, as MLflow's type; numbers by their size.
    "boolean": "boolean",
    "bytes": "binary",
    "date": "datetime",
    "datetime": "datetime",
    "datetime64": "datetime",
    "decimal": "double",
    "mixed-integer-float": "double",
    "string": "string",
}


class NotServed(Exception):  # noqa: N818 - not an error: the model is stored
    """Why rows cannot be sent to an endpoint of the model."""


def as_rows(model: object, data: Any) -> tuple[RowKind, Any]:  # noqa: ANN401
    """Return what rows are to the model, and the rows as it takes them."""
    import numpy as np
    import pandas as pd

    if isinstance(data, Iterator):
        raise UsageError(
            f"The example is a {type(data).__name__}: reading it would use it up.",
            fix="Give a list: list(rows).",
        )
    names = list(getattr(model, "feature_names_in_", []))
    if isinstance(data, pd.DataFrame):
        columns = list(data.columns)
        if columns and all(isinstance(name, str) for name in columns):
            data = data[names] if names and set(names) <= set(columns) else data
            if twins := data.columns[data.columns.duplicated()].tolist():
                raise NotServed(f"The example has two columns {twins[0]!r}")
            return "frame", data
        data = data.to_numpy()
    if hasattr(data, "tocsr"):
        return "sparse", data.tocsr()
    if not isinstance(data, np.ndarray | pd.Series | list | tuple | range):
        if not hasattr(data, "__array__"):
            raise NotServed(f"Rows in a {type(data).__name__} cannot be sent")
        data = np.asarray(data)
    is_flat = getattr(data, "ndim", 1) == 1
    if is_flat and len(data) and all(isinstance(item, Mapping) for item in data):
        return "dicts", list(data)
    if isinstance(data, pd.Series):
        return "series", data.reset_index(drop=True)
    rows: Any = data if isinstance(data, np.ndarray) else _as_array(data)
    if rows.ndim == 1:
        return "vector", rows
    if names and rows.shape[1:] == (len(names),):
        return "frame", pd.DataFrame(rows, columns=names)
    return "array", rows


def _as_array(rows: Sequence[Any]) -> Any:  # noqa: ANN401
    """Return an array of a sequence; one of objects where numpy would make all text."""
    import numpy as np

    try:
        found = np.asarray(rows)
        return np.asarray(rows, dtype=object) if found.dtype.kind in "SU" else found
    except ValueError:  # items of different lengths
        found = np.empty(len(rows), dtype=object)
        found[:] = rows
        return found


def frame_schema(
    frame: pd.DataFrame, *, takes_gaps: bool = False
) -> list[dict[str, object]]:
    """Return the columns of a frame in MLflow's notation."""
    schema: list[dict[str, object]] = []
    for name, column in frame.items():
        kind = column_type(column)
        is_optional = takes_gaps or kind == "any" or bool(column.isna().any())
        schema.append({"name": str(name), "type": kind, "required": not is_optional})
    return schema


def column_type(column: pd.Series[Any]) -> str:
    """Return the type of a column, by MLflow's name."""
    import pandas as pd

    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        column = dtype.categories.to_series()
        dtype = column.dtype
    dtype = getattr(dtype, "subtype", getattr(dtype, "numpy_dtype", dtype))
    kind, size = getattr(dtype, "kind", "O"), getattr(dtype, "itemsize", 8)
    found = pd.api.types.infer_dtype(column, skipna=True)
    if found in ("integer", "integer-na"):
        is_small = kind in "iu" and (size < 4 or (kind, size) == ("i", 4))
        return "integer" if is_small else "long"
    if found == "floating":
        return "float" if kind == "f" and size <= 4 else "double"
    return _COLUMN_TYPES.get(found, "any")


def dtype_of(column: pd.Series[Any]) -> dict[str, object]:
    """Return what MLflow's types do not say of a column."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        if column_type(column) in ("string", "long", "integer", "boolean"):
            categories = dtype.categories.tolist()
            return {"categories": categories, "ordered": bool(dtype.ordered)}
        return {}
    if dtype.kind == "O":
        gaps = column[column.isna()]
        if len(gaps) and gaps.iloc[0] is None:
            return {"gap": None}
    return {}


def dicts_schema(rows: list[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Return the keys of rows that are dicts, as columns in MLflow's notation."""
    import pandas as pd

    schema: list[dict[str, object]] = []
    for name in dict.fromkeys(name for row in rows for name in row):
        if not isinstance(name, str):
            raise NotServed(f"The key {name!r} of a row is no text")
        column = pd.Series([row.get(name) for row in rows], dtype=object)
        required = not bool(column.isna().any())
        schema.append({"type": column_type(column), "name": name, "required": required})
    return schema


def tensor_schema(values: Any) -> list[dict[str, object]]:  # noqa: ANN401
    """Return an array or a sparse matrix in MLflow's notation."""
    import numpy as np

    try:
        rows = values if hasattr(values, "tocsr") else np.asarray(values)
    except ValueError:  # lists of different lengths
        rows = np.empty(len(values), dtype=object)
    names = {"U": "str", "S": "str", "M": "datetime64[ns]"}
    name = names.get(rows.dtype.kind, rows.dtype.name)
    shape = [-1, *(int(n) for n in rows.shape[1:])]
    return [{"type": "tensor", "tensor-spec": {"dtype": name, "shape": shape}}]
