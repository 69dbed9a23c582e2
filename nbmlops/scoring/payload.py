"""Rows as the JSON of a request."""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from nbmlops.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from nbmlops.scoring.signature import InputSpec

_N_SAMPLE = 1000
_FIX = "Send a DataFrame, a Series, an array, a sparse matrix or a list of rows."


def arrange(rows: Any, spec: InputSpec) -> Any:  # noqa: ANN401 - rows of any form
    """Return rows in a form that can be cut into parts, as the model takes them."""
    import pandas as pd

    if isinstance(rows, Iterator):
        raise UsageError(
            f"A {type(rows).__name__} would be used up by sending it.",
            fix="Send a list: list(rows).",
        )
    if isinstance(rows, pd.DataFrame):
        is_values = spec.is_flat and rows.shape[1] == 1
        return rows.iloc[:, 0].tolist() if is_values else rows
    if isinstance(rows, pd.Series):
        names = {column.name for column in spec.columns}
        is_row = spec.kind == "frame" and set(map(str, rows.index)) & names
        if is_row or (spec.kind == "array" and len(spec.columns) == len(rows) != 1):
            return rows.to_frame().T
        return rows.tolist()
    if hasattr(rows, "tocsr"):
        return rows.tocsr() if spec.kind == "sparse" else rows.toarray()
    if hasattr(rows, "tolist") and getattr(rows, "ndim", 0) in (1, 2):
        return rows
    if isinstance(rows, list | tuple):
        return list(rows)
    raise UsageError(f"An endpoint cannot be sent a {type(rows).__name__}.", fix=_FIX)


def payload(rows: Any) -> dict[str, object]:  # noqa: ANN401 - as arrange returned it
    """Return a request for rows, in MLflow's scoring protocol."""
    return {layout_of(rows): document(rows)}


def layout_of(rows: Any) -> str:  # noqa: ANN401
    """Return the field of a request that holds such rows."""
    if hasattr(rows, "columns"):
        return "dataframe_split"
    is_dicts = isinstance(rows, list) and rows and isinstance(rows[0], Mapping)
    return "dataframe_records" if is_dicts else "inputs"


def document(rows: Any) -> Any:  # noqa: ANN401
    """Return rows as JSON has them; a missing value is None."""
    if hasattr(rows, "columns"):
        columns = [_cells(rows.iloc[:, i]) for i in range(rows.shape[1])]
        return {
            "columns": [str(name) for name in rows.columns],
            "data": [list(row) for row in zip(*columns, strict=True)]
            or [[] for _ in range(len(rows))],
        }
    if hasattr(rows, "tocsr"):
        return {
            "data": [_plain(value) for value in rows.data.tolist()],
            "indices": rows.indices.tolist(),
            "indptr": rows.indptr.tolist(),
            "shape": list(rows.shape),
        }
    if getattr(getattr(rows, "dtype", None), "kind", "") == "M":
        rows = rows.astype("datetime64[us]")  # tolist() makes numbers of nanoseconds
    return _plain(rows.tolist() if hasattr(rows, "tolist") else rows)


def n_rows(rows: Any) -> int:  # noqa: ANN401
    """Return how many rows there are."""
    return int(rows.shape[0]) if hasattr(rows, "shape") else len(rows)


def strict_json(value: object, default: Callable[[Any], object] | None = None) -> str:
    """Return strict JSON; what is not finite is null."""
    try:
        return json.dumps(value, allow_nan=False, default=default)
    except ValueError:
        text = json.dumps(value, default=default)
        return json.dumps(json.loads(text, parse_constant=lambda _: None))


def encode(request: Mapping[str, object]) -> bytes:
    """Return a request as it goes over HTTP."""
    return json.dumps(request, default=_plain).encode()


def parts(
    rows: Any,  # noqa: ANN401 - as arrange returned it
    params: Mapping[str, object],
    *,
    most_bytes: int,
) -> Iterator[tuple[int, bytes]]:
    """Yield requests of at most ``most_bytes``, each with the number of its first row.

    A row that is larger by itself is a request by itself.
    """
    more = {"params": dict(params)} if params else {}
    first, size = 0, n_rows(rows)
    if size > _N_SAMPLE:
        sample = len(encode(payload(rows[:_N_SAMPLE]))) / _N_SAMPLE
        size = max(1, int(0.9 * most_bytes / sample))
    while True:
        body = encode({**payload(rows[first : first + size]), **more})
        if len(body) > most_bytes and size > 1:
            size = max(1, int(0.9 * size * most_bytes / len(body)))
            continue
        yield first, body
        first += size
        if first >= n_rows(rows):
            return


def _cells(column: pd.Series[Any]) -> list[object]:
    dtype = column.dtype
    if getattr(dtype, "kind", "O") in "biu" and not hasattr(dtype, "na_value"):
        return column.tolist()
    return [_plain(value) for value in column.astype(object).tolist()]


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return what JSON can say of a value."""
    kind = type(value)
    if kind is float:
        return None if math.isnan(value) else value
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else str(_plain(key)): _plain(item)
            for key, item in value.items()
        }
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Decimal):
        return _plain(float(value))
    pandas = sys.modules.get("pandas")
    if pandas and (value is pandas.NA or value is pandas.NaT):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    for method in ("tolist", "item"):
        if hasattr(value, method):
            found = getattr(value, method)()
            return str(value) if type(found) is kind else _plain(found)
    return str(value)
