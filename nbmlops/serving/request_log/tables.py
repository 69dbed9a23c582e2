"""Arrow tables of what an endpoint logs. Imports pyarrow: for the writer's thread."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbmlops.entities import Column

if TYPE_CHECKING:
    from nbmlops.serving.request_log.feedback import Labels
    from nbmlops.serving.request_log.requests import LoggedRequest

INPUT = "in."
"""What the name of an input column begins with in the log."""
TIME = pa.timestamp("us", "UTC")
_FIELDS = {
    "version": pa.int32(),
    "route": pa.string(),
    "status": pa.int16(),
    "latency_us": pa.int64(),
}
REQUEST_SCHEMA = pa.schema(
    {"request_id": pa.string(), "row": pa.int32(), "time": TIME, **_FIELDS}
    | {"prediction": pa.null()}
)
FEEDBACK_SCHEMA = pa.schema(
    {"request_id": pa.string(), "row": pa.int32(), "time": TIME, "label": pa.null()}
)
_TYPES = {
    "double": pa.float64(),
    "float": pa.float32(),
    "long": pa.int64(),
    "integer": pa.int32(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "datetime": pa.timestamp("us"),
}
_LISTS = (list, tuple, np.ndarray)
_UNFIT = (pa.ArrowException, ArithmeticError, TypeError, ValueError)
_fields_of = attrgetter("request_id", "time_ns", *_FIELDS)


class RequestTables:
    """Makes tables of requests, typed by the signature where the values fit it."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._predictions = ScalarColumn()

    def of(self, chunk: Sequence[LoggedRequest]) -> list[pa.Table]:
        """Return a row for each row of input, in a table for each kind of input."""
        kinds: dict[object, list[LoggedRequest]] = {}
        for each in chunk:
            kind = getattr(each.inputs, "dtype", type(each.inputs))
            kinds.setdefault(kind, []).append(each)
        # Those without a prediction last: by then its type is known.
        ordered = sorted(kinds, key=lambda kind: kind is type(None))
        return [self._table(kinds[kind]) for kind in ordered]

    def _table(self, chunk: Sequence[LoggedRequest]) -> pa.Table:
        counts = [each.n_rows for each in chunk]
        ids, times_ns, *others = zip(*map(_fields_of, chunk), strict=True)
        of_requests = {"request_id": pa.array(ids), "time": times(times_ns)}
        for (name, dtype), values in zip(_FIELDS.items(), others, strict=True):
            of_requests[name] = pa.array(values, dtype)
        found = per_row(of_requests, counts)
        inputs = chain(_columns_of([each.inputs for each in chunk]), repeat(None))
        for column, values in zip(self._columns, inputs, strict=False):
            found[f"{INPUT}{column.name}"] = (
                pa.nulls(len(found["row"]), _TYPES.get(column.type, pa.string()))
                if values is None
                else input_array(values, column.type)
            )
        predictions = list(chain.from_iterable(map(_outputs_of, chunk, counts)))
        lists = None
        if not set(map(type, predictions)).isdisjoint(_LISTS):
            lists = [p if isinstance(p, _LISTS) else None for p in predictions]
            predictions = [None if isinstance(p, _LISTS) else p for p in predictions]
        found["prediction"] = self._predictions.array(predictions)
        if lists is not None:  # probabilities, or several outputs
            found["prediction_list"] = to_array(lists, pa.list_(pa.float64()))
        return pa.table(found)


class FeedbackTables:
    """Makes tables of labels."""

    def __init__(self) -> None:
        self._labels = ScalarColumn()

    def of(self, chunk: Sequence[Labels]) -> list[pa.Table]:
        """Return a row for each label that is known."""
        counts = [each.n_rows for each in chunk]
        ids = pa.array([each.request_id for each in chunk])
        moments = times([each.time_ns for each in chunk])
        found = per_row({"request_id": ids, "time": moments}, counts)
        labels = list(chain.from_iterable(each.labels for each in chunk))
        found["label"] = self._labels.array(labels)
        table = pa.table(found)
        return [table.filter(pc.is_valid(table["label"]))]


class ScalarColumn:
    """Makes arrays of values of any kind, all of one type as far as they go."""

    def __init__(self) -> None:
        self._type: pa.DataType | None = None

    def array(self, values: Sequence[Any]) -> pa.Array:
        """Return values as an array: integers as doubles once there was a double."""
        found = to_array(values, None)
        known = self._type or found.type
        is_wider = pa.types.is_integer(known) and pa.types.is_floating(found.type)
        if pa.types.is_null(known) or is_wider:
            known = found.type
        if not pa.types.is_null(known):
            self._type = known
        fits = pa.types.is_null(found.type) or (
            pa.types.is_floating(known) and pa.types.is_integer(found.type)
        )
        return found.cast(known) if fits else found


def input_array(values: Any, type_name: str) -> pa.Array:  # noqa: ANN401
    """Return values of one of MLflow's types, texts of a CSV and times read.

    >>> input_array([1.5, "2.5", ""], "double").to_pylist()
    [1.5, 2.5, None]
    >>> input_array([1.5, None], "long").to_pylist()
    [1.5, None]
    """
    dtype = _TYPES.get(type_name)
    if dtype is None:
        found = to_array(values, None)
        return _texts(values) if pa.types.is_string(found.type) else found
    try:
        return _exact(values, dtype)
    except _UNFIT:
        pass
    try:
        return _exact(_read(values, type_name), dtype)
    except _UNFIT:
        return to_array(values, None)


def to_array(values: Any, dtype: pa.DataType | None) -> pa.Array:  # noqa: ANN401
    """Return values of a type, else of their own, else as JSON; a gap is null.

    >>> to_array([1.0, float("nan")], pa.int64()).to_pylist()
    [1, None]
    >>> to_array([1.5], pa.int64()).to_pylist(), to_array([1, "a"], None).to_pylist()
    ([1.5], ['1', '"a"'])
    """
    for wanted in dict.fromkeys((dtype, None)):
        try:
            found = _exact(values, wanted)
        except _UNFIT:
            continue
        if wanted is not None or not pa.types.is_nested(found.type):
            return found
    return _texts(values)


def _exact(values: Any, dtype: pa.DataType | None) -> pa.Array:  # noqa: ANN401
    # To an integer type Arrow reads 1.5 in a list as 1, but never casts it so.
    is_integer = dtype is not None and pa.types.is_integer(dtype)
    read_as = None if is_integer else dtype
    found = pa.array(values, type=read_as, from_pandas=True)
    return found if dtype is None or found.type == dtype else found.cast(dtype)


def _read(values: Any, type_name: str) -> Any:  # noqa: ANN401
    from nbmlops.scoring.value_types import VALUE_TYPES

    value_type = VALUE_TYPES[type_name]
    read = [value_type.read_cell(v) if isinstance(v, str) else v for v in values]
    return value_type.build(read, None) if type_name == "datetime" else read


def _texts(values: Any) -> pa.Array:  # noqa: ANN401
    texts = [None if v is None else json.dumps(v, default=_plain) for v in values]
    return pa.array(texts, pa.string())


def _plain(value: Any) -> object:  # noqa: ANN401
    return value.tolist() if hasattr(value, "tolist") else str(value)


def times(times_ns: Iterable[int]) -> pa.Array:
    """Return times in nanoseconds since 1970 as UTC."""
    return pa.array(np.array(times_ns, np.int64) // 1000).cast(TIME)


def per_row(values: dict[str, pa.Array], counts: Sequence[int]) -> dict[str, pa.Array]:
    """Return values of requests for each of their rows, after the number of the row."""
    numbers = np.array(counts)
    if (numbers == 1).all():
        row = pa.array(np.zeros(len(counts), np.int32))
    else:
        which = np.repeat(np.arange(len(counts)), numbers)
        first = np.repeat(numbers.cumsum() - numbers, numbers)
        row = pa.array((np.arange(len(which)) - first).astype(np.int32))
        values = {name: each.take(pa.array(which)) for name, each in values.items()}
    first_name, *rest = values
    return {first_name: values[first_name], "row": row, **{n: values[n] for n in rest}}


def _columns_of(inputs: Sequence[Any]) -> Iterable[Any]:
    """Return the values of each column, of requests whose inputs are alike."""
    if inputs[0] is None:
        return ()
    if type(inputs[0]) is tuple:
        return map(_joined, zip(*inputs, strict=True))
    arrays = [i.toarray() if hasattr(i, "toarray") else np.asarray(i) for i in inputs]
    whole = np.concatenate([a[:, None] if a.ndim == 1 else a for a in arrays])
    return np.ascontiguousarray(whole.T)


def _joined(pieces: Sequence[Any]) -> Any:  # noqa: ANN401
    is_plain = all(type(p) is np.ndarray and p.dtype != object for p in pieces)
    return np.concatenate(pieces) if is_plain else list(chain.from_iterable(pieces))


def _outputs_of(logged: LoggedRequest, n_rows: int) -> Iterable[Any]:
    outputs: Any = logged.outputs
    fits = outputs is not None and len(outputs) == n_rows
    return outputs if fits else (None,) * n_rows
