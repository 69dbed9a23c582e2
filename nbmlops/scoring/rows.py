"""A request's table held against what the model takes: its rows, or a refusal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from nbmlops.entities import Column
from nbmlops.errors import did_you_mean
from nbmlops.scoring.columns import (
    REFUSED,
    as_category,
    check_value,
    convert,
    find_inexact,
    listing,
    read_all,
)
from nbmlops.scoring.faults import Faults
from nbmlops.scoring.request import SPARSE_PARTS, Table, refusal
from nbmlops.scoring.signature import InputSpec
from nbmlops.scoring.value_types import VALUE_TYPES

_MOST_COMPARED = 20_000


def to_rows(
    table: Table, spec: InputSpec, *, unseen: Counter[str] | None = None
) -> Any:  # noqa: ANN401 - a frame, an array, ...
    """Return what the model takes, no value changed on the way.

    What does not fit is refused at once, with the place of each fault. Values that
    training did not have, and that are not refused, are counted in ``unseen``, as
    ``unseen_category`` and ``out_of_range``.
    """
    faults = Faults(len(spec.columns), unseen)
    rows = _to_rows(table, spec, faults)
    faults.refuse()
    return rows


def _to_rows(table: Table, spec: InputSpec, faults: Faults) -> Any:  # noqa: ANN401
    match spec.kind:
        case "frame":
            return _to_frame(table, spec, faults)
        case "dicts":
            return _to_dicts(table, spec, faults)
        case "sparse":
            return _to_sparse(table, spec, faults)
        case "array":
            return _to_array(table, spec, faults)
    if len(table.columns) != 1:
        raise refusal(
            f"Rows have {len(table.columns)} values, the model takes one a row.",
            fix='Send {"inputs": [value, value, ...]}.',
        )
    (column,) = spec.columns
    values = convert(table.columns[0], column, spec, faults, is_text=table.is_text)
    return pd.Series(values) if spec.kind == "series" else np.asarray(values)


def _to_frame(table: Table, spec: InputSpec, faults: Faults) -> pd.DataFrame:
    found = _by_name(table, spec.columns, faults)
    gaps = (None,) * (len(table.columns[0]) if table.columns else 0)
    frame = {}
    for column in spec.columns:
        values, is_text = found.get(column.name), table.is_text
        if values is None:
            if column.is_required:  # a fault already
                continue
            values, is_text = gaps, False
        built = convert(values, column, spec, faults, is_text=is_text)
        dtype = spec.dtypes.get(column.name, {})
        if dtype.get("categories") is not None and built is not REFUSED:
            built = as_category(pd.Series(built), column, spec, faults)
        frame[column.name] = built
    faults.refuse()
    return pd.DataFrame(frame, copy=False)


def _to_array(table: Table, spec: InputSpec, faults: Faults) -> np.ndarray[Any, Any]:
    expected = len(spec.columns)
    if len(table.columns) != expected:
        raise refusal(
            f"Rows have {len(table.columns)} values, the model takes {expected}.",
            fix=f"Send {expected} values in each row.",
        )
    pairs = list(zip(table.columns, spec.columns, strict=True))
    arrays = [
        np.asarray(convert(*pair, spec, faults, is_text=table.is_text))
        for pair in pairs
    ]
    if len({column.type for column in spec.columns}) > 1:
        arrays = [values.astype(object) for values in arrays]
    elif len({values.dtype for values in arrays}) > 1:
        has_gaps = any(values.dtype.kind == "f" for values in arrays)
        for values, column in zip(arrays, spec.columns, strict=True):
            if has_gaps and values.dtype.kind == "i":
                find_inexact(values.tolist(), column, faults)
    faults.refuse()
    return np.column_stack(arrays)


def _to_sparse(table: Table, spec: InputSpec, faults: Faults) -> Any:  # noqa: ANN401
    from scipy.sparse import csr_matrix

    if table.sparse is None:
        return csr_matrix(_to_array(table, spec, faults))
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
        data = convert(data, replace(spec.columns[0], name="data"), spec, faults)
        faults.refuse()
    return csr_matrix((np.asarray(data), indices, indptr), shape=tuple(shape))


def _to_dicts(table: Table, spec: InputSpec, faults: Faults) -> list[dict[str, Any]]:
    columns = {column.name: column for column in spec.columns}
    optional = {
        name: replace(each, is_required=False) for name, each in columns.items()
    }
    records = _records(table, columns) if table.records is None else table.records
    required = [column.name for column in spec.columns if column.is_required]
    hints = _Hints(columns)
    for row, record in enumerate(records):
        for name in required:
            if record.get(name) is None:
                faults.add(
                    "the value is missing",
                    row=row,
                    column=name,
                    sentence=f"Row {row}: {name!r} is missing",
                    fix=f"Send {VALUE_TYPES[columns[name].type].means} for it: each "
                    "row the model was trained on had one.",
                )
        for name, value in record.items():
            if name not in columns and not spec.has_open_keys:
                problem = f"unknown key {name[:60]!r}.{hints.near(name, columns)}"
                problem = problem.rstrip(".")
                faults.add(
                    problem,
                    row=row,
                    column=name[:60],
                    sentence=f"Row {row}: {problem}",
                    fix=f"Send these keys: {listing(columns)}.",
                )
                continue
            column = optional.get(name) or Column(
                name=name, type="any", is_required=False
            )
            check_value(value, row, column, faults)
    return [dict(record) for record in records]


def _records(table: Table, columns: Mapping[str, Column]) -> list[dict[str, Any]]:
    """Return the rows of a table as dicts without gaps."""
    if table.names is None:
        raise refusal(
            "The rows come without names.", fix='Send rows such as {"name": value}.'
        )
    filled = [
        read_all(values, columns[name]) if table.is_text and name in columns else values
        for name, values in zip(table.names, table.columns, strict=True)
    ]
    return [
        {n: v for n, v in zip(table.names, row, strict=True) if v is not None}
        for row in zip(*filled, strict=True)
    ]


class _Hints:
    """Near names for the first unknown ones: to compare all may take minutes."""

    def __init__(self, known: Mapping[str, Column]) -> None:
        self._n_left = max(1, min(20, _MOST_COMPARED // max(1, len(known))))

    def near(self, name: str, known: Iterable[str]) -> str:
        self._n_left -= 1
        return did_you_mean(name[:60], known) if self._n_left >= 0 else ""


def _by_name(
    table: Table, columns: Sequence[Column], faults: Faults
) -> dict[str, Sequence[Any]]:
    known = {column.name: column for column in columns}
    names = table.names
    if names is not None and len(names) == len(known):
        found = dict(zip(names, table.columns, strict=True))
        if found.keys() == known.keys():
            return found
    fix = f"Send these columns: {listing(known)}."
    if names is None:
        if len(known) != 1 or len(table.columns) != 1:
            raise refusal("The rows come without column names.", fix=fix)
        names = tuple(known)
    found = dict(zip(names, table.columns, strict=True))
    missing = [name for name in known if name not in found]
    hints = _Hints(known)
    seen = set()
    for name in names:
        if name in seen:
            problem = f"Column {name[:60]!r} is there twice"
            faults.add(problem, column=name[:60], fix="Send it once.")
        elif name not in known:
            hint = hints.near(name, missing or known)
            problem = f"Unknown column {name[:60]!r}.{hint}".rstrip(".")
            faults.add(problem, column=name[:60], fix=fix)
        seen.add(name)
    for name in missing:
        if known[name].is_required:
            faults.add(f"Column {name!r} is missing", column=name, fix=fix)
    return found
