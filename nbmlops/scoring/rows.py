"""A request's table held against what the model takes: its rows, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from nbmlops.entities import Column
from nbmlops.errors import did_you_mean
from nbmlops.scoring.request import Table, refusal
from nbmlops.scoring.signature import InputSpec

_TEXT = pd.Series(["text"]).dtype
_MAX_FLOAT32 = float(np.finfo(np.float32).max)
_MAX_EXACT = 2**53
_BOOLEANS = {"true": True, "false": False}


def to_rows(table: Table, spec: InputSpec) -> Any:  # noqa: ANN401 - a frame, an array, ...
    """Return what the model takes, no value changed on the way."""
    match spec.kind:
        case "frame":
            return _to_frame(table, spec)
        case "dicts":
            return _to_dicts(table, spec)
        case "sparse":
            return _to_sparse(table, spec)
        case "array":
            return _to_array(table, spec)
    if len(table.columns) != 1:
        raise refusal(
            f"Rows have {len(table.columns)} values, the model takes one a row.",
            fix='Send {"inputs": [value, value, ...]}.',
        )
    (column,) = spec.columns
    values = _convert(table.columns[0], column, table.is_text, _gap(spec, column))
    return pd.Series(values) if spec.kind == "series" else np.asarray(values)


def _to_frame(table: Table, spec: InputSpec) -> pd.DataFrame:
    found = _by_name(table, spec.columns)
    n_rows = len(table.columns[0]) if table.columns else 0
    frame = {}
    for column in spec.columns:
        values = found.get(column.name, (None,) * n_rows)
        built = _convert(values, column, table.is_text, _gap(spec, column))
        categories = spec.dtypes.get(column.name, {}).get("categories")
        frame[column.name] = (
            built
            if categories is None
            else _as_category(
                built,
                categories,
                is_ordered=spec.dtypes[column.name].get("ordered", False),
            )
        )
    return pd.DataFrame(frame, copy=False)


def _gap(spec: InputSpec, column: Column) -> object:
    """Return what a gap is among objects: NaN or None, which encoders distinguish."""
    return None if "gap" in spec.dtypes.get(column.name, {}) else math.nan


def _as_category(
    values: Any,  # noqa: ANN401
    known: Sequence[Any],
    *,
    is_ordered: bool,
) -> pd.Series[Any]:
    """Return values as categories; the model decides what it makes of unknown ones."""
    series = pd.Series(values)
    unknown = series.dropna()[~series.dropna().isin(known)].unique().tolist()
    dtype = pd.CategoricalDtype([*known, *unknown], ordered=is_ordered)
    return series.astype(dtype)


def _to_array(table: Table, spec: InputSpec) -> np.ndarray[Any, Any]:
    expected = len(spec.columns)
    if len(table.columns) != expected:
        raise refusal(
            f"Rows have {len(table.columns)} values, the model takes {expected}.",
            fix=f"Send {expected} values in each row.",
        )
    columns = [
        np.asarray(_convert(values, column, table.is_text, _gap(spec, column)))
        for values, column in zip(table.columns, spec.columns, strict=True)
    ]
    if len({column.type for column in spec.columns}) > 1:
        rows = np.empty((len(columns[0]), expected), dtype=object)
        for position, values in enumerate(columns):
            rows[:, position] = values
        return rows
    if len({values.dtype for values in columns}) > 1:  # gaps in some
        for values, column in zip(columns, spec.columns, strict=True):
            if values.dtype.kind == "i":
                _refuse_inexact(values.tolist(), column)
    return np.column_stack(columns)


def _to_sparse(table: Table, spec: InputSpec) -> Any:  # noqa: ANN401
    from scipy.sparse import csr_matrix

    if table.sparse is None:
        return csr_matrix(_to_array(table, spec))
    fix = "Send data, indices, indptr and shape as scipy's csr_matrix has them."
    data, indices, indptr, shape = (
        table.sparse[part] for part in ("data", "indices", "indptr", "shape")
    )
    for name in ("data", "indices", "indptr", "shape"):
        values = table.sparse[name]
        if not isinstance(values, list) or (
            name != "data" and any(type(v) is not int or v < 0 for v in values)
        ):
            raise refusal(f"{name!r} is not a list of whole numbers from 0.", fix=fix)
    if len(shape) != 2 or shape[1] != len(spec.columns):
        raise refusal(
            f"The rows are of shape {shape}, the model takes {len(spec.columns)} "
            "values a row.",
            fix=fix,
        )
    if (
        len(indptr) != shape[0] + 1
        or indptr[0] != 0
        or sorted(indptr) != indptr
        or not indptr[-1] == len(data) == len(indices)
        or any(index >= shape[1] for index in indices)
    ):
        raise refusal("The parts of the sparse rows do not fit each other.", fix=fix)
    if not shape[0]:
        raise refusal("The request has no rows.", fix="Send at least one row.")
    for row in range(shape[0]):
        of_row = indices[indptr[row] : indptr[row + 1]]
        if len(set(of_row)) != len(of_row):
            raise refusal(f"Row {row} has two values for one column.", fix=fix)
    column = replace(spec.columns[0], name="data") if spec.columns else None
    values = _convert(data, column, is_text=False, gap=math.nan) if column else data
    return csr_matrix((np.asarray(values), indices, indptr), shape=tuple(shape))


def _to_dicts(table: Table, spec: InputSpec) -> list[dict[str, Any]]:
    columns = {column.name: column for column in spec.columns}
    records = table.records
    if records is None:
        names = table.names
        if names is None:
            raise refusal(
                "The rows come without names.", fix='Send rows such as {"name": value}.'
            )
        filled = [
            _read_all(values, columns[name])
            if table.is_text and name in columns
            else values
            for name, values in zip(names, table.columns, strict=True)
        ]
        records = tuple(
            {n: v for n, v in zip(names, row, strict=True) if v is not None}
            for row in zip(*filled, strict=True)
        )
    required = [column.name for column in spec.columns if column.is_required]
    for row, record in enumerate(records):
        for name in required:
            if record.get(name) is None:
                raise refusal(
                    f"Row {row}: {name!r} is missing.",
                    fix=f"Send {_KINDS[columns[name].type].means} for it: each row the "
                    "model was trained on had one.",
                )
        for name, value in record.items():
            if name in columns:
                _check(value, row, replace(columns[name], is_required=False))
            elif not spec.has_open_keys:
                raise refusal(
                    f"Row {row}: unknown key {name[:60]!r}."
                    + did_you_mean(name, columns),
                    fix=f"Send these keys: {_listing(list(columns))}.",
                )
            else:
                _check(value, row, Column(name=name, type="any", is_required=False))
    return [dict(record) for record in records]


def _listing(known: Sequence[str]) -> str:
    return ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")


def _by_name(table: Table, columns: Sequence[Column]) -> dict[str, Sequence[Any]]:
    known = [column.name for column in columns]
    fix = f"Send these columns: {_listing(known)}."
    names = table.names
    if names is None:
        if len(known) != 1 or len(table.columns) != 1:
            raise refusal("The rows come without column names.", fix=fix)
        names = tuple(known)
    found = dict(zip(names, table.columns, strict=True))
    if len(found) != len(names):
        twin = next(name for name in names if names.count(name) > 1)
        raise refusal(f"Column {twin[:60]!r} is there twice.", fix="Send it once.")
    missing = [c.name for c in columns if c.name not in found]
    unknown = set(names) - set(known)
    if unknown:
        name = next(name for name in names if name in unknown)
        raise refusal(
            f"Unknown column {name[:60]!r}.{did_you_mean(name, missing or known)}",
            fix=fix,
        )
    for column in columns:
        if column.is_required and column.name not in found:
            raise refusal(f"Column {column.name!r} is missing.", fix=fix)
    return found


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one of MLflow's types is read.

    Values of the type ``plain`` fit without a look at each; ``fits`` looks at one.
    """

    means: str
    plain: type | None
    fits: Callable[[Any], bool]
    read: Callable[[str], Any]
    build: Callable[[Sequence[Any], Any], Any]


def _convert(values: Sequence[Any], column: Column, is_text: bool, gap: object) -> Any:  # noqa: ANN401 - an array, a Series or an Index
    kind = _KINDS[column.type]
    if is_text:
        values = _read_all(values, column)
    if set(map(type, values)) == {kind.plain}:
        try:
            built = kind.build(values, gap)
        except OverflowError:  # the look at each value finds which
            built = None
        if built is not None and (kind.plain is not float or np.isfinite(built).all()):
            return built
    checked = [_check(value, row, column) for row, value in enumerate(values)]
    built = kind.build(checked, gap)
    if column.type in _N_BITS and built.dtype.kind == "f":
        _refuse_inexact(checked, column)
    return built


def _check(value: object, row: int, column: Column) -> object:
    kind = _KINDS[column.type]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        if not column.is_required:
            return None
        raise refusal(
            f"Row {row}, column {column.name!r}: the value is missing.",
            fix=f"Send {kind.means}: the model was trained without gaps there.",
        )
    if not kind.fits(value):
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise refusal(
            f"Row {row}, column {column.name!r}: {shown} "
            f"{_reason(value, column.type)}.",
            fix=f"Send {kind.means} ({column.type} in the model's signature).",
        )
    return value


def _reason(value: object, type_name: str) -> str:
    """Return in words why a value is not one of a type."""
    if type(value) is float and not math.isfinite(value):
        return "is not finite"
    if type(value) in (int, float) and type_name in ("float", *_N_BITS):
        bits = _N_BITS.get(type_name, 32)
        return f"is beyond what a number of {bits} bits can hold"
    if type(value) is int and type_name in ("double", "any"):
        return "is a whole number that a double cannot hold"
    return f"is not {_KINDS[type_name].means}"


def _refuse_inexact(values: Sequence[Any], column: Column) -> None:
    """Refuse a whole number that would be changed in a column of doubles."""
    for row, value in enumerate(values):
        if type(value) is int and int(float(value)) != value:
            raise refusal(
                f"Row {row}, column {column.name!r}: {value} is a whole number that a "
                "double cannot hold; gaps and fractions make a column of doubles.",
                fix=f"Send whole numbers without gaps, or none beyond {_MAX_EXACT}.",
            )


def _read_all(values: Sequence[str], column: Column) -> list[object]:
    return [_read_text(_KINDS[column.type], text) for text in values]


def _read_text(kind: _Kind, text: str) -> object:
    if text == "":
        return None
    try:
        return kind.read(text)
    except (ValueError, KeyError):
        return text


def _read_number(text: str) -> float | int:
    if "_" in text:
        raise ValueError(text)
    try:
        return int(text)
    except ValueError:
        return float(text)


def _is_number(value: object) -> bool:
    if type(value) is float:
        return math.isfinite(value)
    # A whole number a double cannot hold would be changed without a word.
    return type(value) is int and abs(value) < 1 << 1023 and int(float(value)) == value


def _is_small(value: Any) -> bool:  # noqa: ANN401
    return type(value) in (int, float) and -_MAX_FLOAT32 <= value <= _MAX_FLOAT32


def _is_within(n_bits: int) -> Callable[[Any], bool]:
    least, most = -(2 ** (n_bits - 1)), 2 ** (n_bits - 1) - 1

    def fits(value: Any) -> bool:  # noqa: ANN401
        return type(value) in (int, float) and least <= value <= most

    return fits


def _to_utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(_to_utc(value))
    except (ValueError, OverflowError):
        return False


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | bool) or _is_number(value)


def _build_any(values: Sequence[Any], gap: object) -> pd.Series[Any]:
    return pd.Series([gap if v is None else v for v in values])


def _build_times(values: Sequence[Any], _: object) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([None if v is None else _to_utc(v) for v in values])


def _build_numbers(dtype: str) -> Callable[[Sequence[Any], object], Any]:
    def build(values: Sequence[Any], _: object) -> Any:  # noqa: ANN401
        return np.array([math.nan if v is None else v for v in values], dtype=dtype)

    return build


def _build_whole(dtype: str) -> Callable[[Sequence[Any], object], Any]:
    """Return what builds a column of whole numbers; of doubles where some are not."""

    def build(values: Sequence[Any], _: object) -> Any:  # noqa: ANN401
        if all(type(v) is int or (v is not None and v.is_integer()) for v in values):
            return np.array([int(v) for v in values], dtype=dtype)
        return np.array([math.nan if v is None else v for v in values], dtype="float64")

    return build


def _build_booleans(values: Sequence[Any], gap: object) -> Any:  # noqa: ANN401
    if None not in values:
        return np.array(values, dtype=bool)
    return np.array([gap if v is None else v for v in values], dtype=object)


def _build_text(values: Sequence[Any], gap: object) -> pd.Series[Any]:
    if gap is None and None in values:
        return pd.Series(values, dtype=object)
    return pd.Series([gap if v is None else v for v in values], dtype=_TEXT)


_N_BITS = {"long": 64, "integer": 32}
_KINDS = {
    "double": _Kind(
        "a number", float, _is_number, _read_number, _build_numbers("float64")
    ),
    "float": _Kind(
        "a number of 32 bits",
        float,
        _is_small,
        _read_number,
        _build_numbers("float32"),
    ),
    "long": _Kind("a number", int, _is_within(64), _read_number, _build_whole("int64")),
    "integer": _Kind(
        "a number of 32 bits",
        int,
        _is_within(32),
        _read_number,
        _build_whole("int32"),
    ),
    "boolean": _Kind(
        "true or false",
        bool,
        lambda value: type(value) is bool,
        lambda text: _BOOLEANS[text.lower()],
        _build_booleans,
    ),
    "string": _Kind("text", str, lambda value: type(value) is str, str, _build_text),
    "any": _Kind("one value", None, _is_scalar, str, _build_any),
    "datetime": _Kind("an ISO 8601 time", None, _is_time, str, _build_times),
}
