"""A request's table held against what the model takes: its rows, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pandas as pd

from nbmlops.entities import Column
from nbmlops.errors import UsageError, did_you_mean
from nbmlops.scoring.request import SPARSE_PARTS, Table, refusal
from nbmlops.scoring.signature import InputSpec
from nbmlops.scoring.value_types import LIMITS, VALUE_TYPES


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
    values = _convert(table.columns[0], column, spec, is_text=table.is_text)
    return pd.Series(values) if spec.kind == "series" else np.asarray(values)


def _to_frame(table: Table, spec: InputSpec) -> pd.DataFrame:
    found = _by_name(table, spec.columns)
    gaps = (None,) * (len(table.columns[0]) if table.columns else 0)
    frame = {}
    for column in spec.columns:
        values = found.get(column.name, gaps)
        built = _convert(values, column, spec, is_text=table.is_text)
        dtype = spec.dtypes.get(column.name, {})
        is_category = dtype.get("categories") is not None
        frame[column.name] = _as_category(built, dtype) if is_category else built
    return pd.DataFrame(frame, copy=False)


def _as_category(values: Any, dtype: Mapping[str, Any]) -> pd.Series[Any]:  # noqa: ANN401
    """Return values as categories; the model decides what it makes of unknown ones."""
    series, known = pd.Series(values), dtype["categories"]
    unknown = series.dropna()[~series.dropna().isin(known)].unique().tolist()
    is_ordered = dtype.get("ordered", False)
    return series.astype(pd.CategoricalDtype([*known, *unknown], ordered=is_ordered))


def _to_array(table: Table, spec: InputSpec) -> np.ndarray[Any, Any]:
    expected = len(spec.columns)
    if len(table.columns) != expected:
        raise refusal(
            f"Rows have {len(table.columns)} values, the model takes {expected}.",
            fix=f"Send {expected} values in each row.",
        )
    pairs = list(zip(table.columns, spec.columns, strict=True))
    arrays = [
        np.asarray(_convert(*pair, spec, is_text=table.is_text)) for pair in pairs
    ]
    if len({column.type for column in spec.columns}) > 1:
        arrays = [values.astype(object) for values in arrays]
    elif len({values.dtype for values in arrays}) > 1:  # gaps in some
        for values, column in zip(arrays, spec.columns, strict=True):
            if values.dtype.kind == "i":
                _refuse_inexact(values.tolist(), column)
    return np.column_stack(arrays)


def _to_sparse(table: Table, spec: InputSpec) -> Any:  # noqa: ANN401
    from scipy.sparse import csr_matrix

    if table.sparse is None:
        return csr_matrix(_to_array(table, spec))
    fix = "Send data, indices, indptr and shape as scipy's csr_matrix has them."
    data, indices, indptr, shape = parts = [table.sparse[name] for name in SPARSE_PARTS]
    for name, values in zip(SPARSE_PARTS, parts, strict=True):
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
    for row, (start, end) in enumerate(pairwise(indptr)):
        if len(set(indices[start:end])) != end - start:
            raise refusal(f"Row {row} has two values for one column.", fix=fix)
    if spec.columns:
        data = _convert(data, replace(spec.columns[0], name="data"), spec)
    return csr_matrix((np.asarray(data), indices, indptr), shape=tuple(shape))


def _to_dicts(table: Table, spec: InputSpec) -> list[dict[str, Any]]:
    columns = {column.name: column for column in spec.columns}
    records = _records(table, columns) if table.records is None else table.records
    required = [column.name for column in spec.columns if column.is_required]
    for row, record in enumerate(records):
        for name in required:
            if record.get(name) is None:
                raise refusal(
                    f"Row {row}: {name!r} is missing.",
                    fix=f"Send {VALUE_TYPES[columns[name].type].means} for it: each "
                    "row the model was trained on had one.",
                )
        for name, value in record.items():
            if name not in columns and not spec.has_open_keys:
                raise refusal(
                    f"Row {row}: unknown key {name[:60]!r}."
                    + did_you_mean(name, columns),
                    fix=f"Send these keys: {_listing(columns)}.",
                )
            column = columns.get(name) or Column(name=name, type="any")
            _check(value, row, replace(column, is_required=False))
    return [dict(record) for record in records]


def _records(table: Table, columns: Mapping[str, Column]) -> list[dict[str, Any]]:
    """Return the rows of a table as dicts without gaps."""
    if table.names is None:
        raise refusal(
            "The rows come without names.", fix='Send rows such as {"name": value}.'
        )
    filled = [
        _read_all(values, columns[name])
        if table.is_text and name in columns
        else values
        for name, values in zip(table.names, table.columns, strict=True)
    ]
    return [
        {n: v for n, v in zip(table.names, row, strict=True) if v is not None}
        for row in zip(*filled, strict=True)
    ]


def _listing(known: Iterable[str]) -> str:
    first = list(islice(known, 21))
    return ", ".join(first[:20]) + (", ..." if len(first) > 20 else "")


def _by_name(table: Table, columns: Sequence[Column]) -> dict[str, Sequence[Any]]:
    known = {column.name: column for column in columns}
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
    missing = [name for name in known if name not in found]
    for name in names:
        if name not in known:
            raise refusal(
                f"Unknown column {name[:60]!r}.{did_you_mean(name, missing or known)}",
                fix=fix,
            )
    for name in missing:
        if known[name].is_required:
            raise refusal(f"Column {name!r} is missing.", fix=fix)
    return found


def _convert(
    values: Sequence[Any], column: Column, spec: InputSpec, *, is_text: bool = False
) -> Any:  # noqa: ANN401 - an array, a Series or an Index
    value_type = VALUE_TYPES[column.type]
    # What a gap is among objects: NaN or None, which encoders distinguish.
    gap = None if "gap" in spec.dtypes.get(column.name, {}) else math.nan
    if is_text:
        values = _read_all(values, column)
    if set(map(type, values)) == {value_type.plain}:
        with suppress(OverflowError):  # the look at each value finds which
            built = value_type.build(values, gap)
            if value_type.plain is not float or np.isfinite(built).all():
                return built
    checked = [_check(value, row, column) for row, value in enumerate(values)]
    built = value_type.build(checked, gap)
    if column.type in ("long", "integer") and built.dtype.kind == "f":
        _refuse_inexact(checked, column)
    return built


def _read_all(values: Sequence[str], column: Column) -> list[Any]:
    """Return texts of a CSV as values; as they are where they cannot be read."""
    return [VALUE_TYPES[column.type].read_cell(text) for text in values]


def _check(value: object, row: int, column: Column) -> object:
    value_type = VALUE_TYPES[column.type]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        if not column.is_required:
            return None
        fix = f"Send {value_type.means}: the model was trained without gaps there."
        raise _refusal(row, column, "the value is missing", fix=fix)
    if not value_type.fits(value):
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        problem = f"{shown} {_reason(value, column.type)}"
        fix = f"Send {value_type.means} ({column.type} in the model's signature)."
        raise _refusal(row, column, problem, fix=fix)
    return value


def _reason(value: object, type_name: str) -> str:
    """Return in words why a value is not one of a type."""
    if type(value) is float and not math.isfinite(value):
        return "is not finite"
    if type(value) in (int, float) and type_name in LIMITS:
        bits = 64 if type_name == "long" else 32
        return f"is beyond what a number of {bits} bits can hold"
    if type(value) is int and type_name in ("double", "any"):
        return "is a whole number that a double cannot hold"
    return f"is not {VALUE_TYPES[type_name].means}"


def _refuse_inexact(values: Sequence[Any], column: Column) -> None:
    """Refuse a whole number that would be changed in a column of doubles."""
    for row, value in enumerate(values):
        if type(value) is int and int(float(value)) != value:
            problem = (
                f"{value} is a whole number that a double cannot hold; gaps and "
                "fractions make a column of doubles"
            )
            fix = f"Send whole numbers without gaps, or none beyond {2**53}."
            raise _refusal(row, column, problem, fix=fix)


def _refusal(row: int, column: Column, problem: str, *, fix: str) -> UsageError:
    return refusal(f"Row {row}, column {column.name!r}: {problem}.", fix=fix)
