"""The types of rows, in MLflow's notation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
    found = pd.api.types.infer_dtype(column, skipna=True)
    if found in ("integer", "integer-na"):
        size = (
            getattr(dtype, "itemsize", 8) if getattr(dtype, "kind", "O") in "iu" else 8
        )
        is_small = size < 4 or (size == 4 and dtype.kind == "i")
        return "integer" if is_small else "long"
    if found == "floating":
        is_small = getattr(dtype, "kind", "O") == "f" and dtype.itemsize <= 4
        return "float" if is_small else "double"
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

    names = dict.fromkeys(name for row in rows for name in row)
    schema: list[dict[str, object]] = []
    for name in names:
        if not isinstance(name, str):
            raise NotServed(f"The key {name!r} of a row is no text")
        values = [row.get(name) for row in rows]
        column = pd.Series(values, dtype=object)
        required = not bool(column.isna().any())
        kind = column_type(column)
        schema.append({"type": kind, "name": name, "required": required})
    return schema


def tensor_schema(values: Any) -> list[dict[str, object]]:  # noqa: ANN401
    """Return an array or a sparse matrix in MLflow's notation."""
    import numpy as np

    is_sparse = hasattr(values, "tocsr")
    try:
        rows = values if is_sparse else np.asarray(values)
    except ValueError:  # lists of different lengths
        rows = np.empty(len(values), dtype=object)
    match rows.dtype.kind:
        case "U" | "S":
            name = "str"
        case "M":
            name = "datetime64[ns]"
        case _:
            name = rows.dtype.name
    shape = [-1, *(int(n) for n in rows.shape[1:])]
    return [{"type": "tensor", "tensor-spec": {"dtype": name, "shape": shape}}]
