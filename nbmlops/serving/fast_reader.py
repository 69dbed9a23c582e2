"""Requests of numbers alone, read straight into an array."""

from __future__ import annotations

from types import NoneType
from typing import Any

import msgspec
import numpy as np

from nbmlops.scoring.request import Table
from nbmlops.scoring.signature import InputSpec

_Number = float | None
_NUMBER_TYPES = {float, int, NoneType}
_EXACT = float(2**53)
"""From here on a double does not hold each whole number."""
_MAX_FLOAT32 = float(np.finfo(np.float32).max)
_TYPES = ("double", "long", "integer", "float")


class _Split(msgspec.Struct, forbid_unknown_fields=True):
    data: list[list[_Number]]
    columns: list[str] | None = None
    index: list[Any] | None = None


class _Params(msgspec.Struct, forbid_unknown_fields=True):
    output: str = "predictions"


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    dataframe_split: _Split | None = None
    dataframe_records: list[dict[str, _Number]] | None = None
    instances: list[list[_Number] | dict[str, _Number]] | None = None
    inputs: list[list[_Number] | dict[str, _Number]] | None = None
    params: _Params | None = None


class FastReader:
    """Reads the requests that need no second look.

    `read` returns None for all others: bad ones, and those of texts. They are for
    `nbmlops.scoring`, which says what is wrong with them.
    """

    def __init__(self, spec: InputSpec) -> None:
        self._names = [column.name for column in spec.columns]
        self._index = {name: i for i, name in enumerate(self._names)}
        self._has_names = spec.kind == "frame"
        required = [column.is_required for column in spec.columns]
        self._required = None if all(required) else np.array(required)
        self._is_single = any(column.type == "float" for column in spec.columns)
        # A double cannot hold each of these as such.
        bits = {"long": _EXACT, "integer": 2.0**31, "float": _MAX_FLOAT32}
        limits = {bits.get(column.type, _EXACT) for column in spec.columns}
        self._limit = min(limits, default=_EXACT)
        self._n_colons = sum(name.count(":") for name in self._names)
        self._decode = msgspec.json.Decoder(_Body).decode

    @staticmethod
    def fits(spec: InputSpec) -> bool:
        """Return whether a model takes numbers alone."""
        types = {column.type for column in spec.columns}
        return (
            spec.kind in ("frame", "array")
            and bool(types)
            and types <= set(_TYPES)
            and not spec.dtypes
            and ("float" not in types or types == {"float"})
        )

    def read(self, body: bytes) -> tuple[np.ndarray[Any, Any], str] | None:
        """Return the rows and the output that is asked for."""
        try:
            decoded = self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        n_colons = 1
        params = decoded.params
        if params is not None:
            n_colons += 1 + (body.count(b'"output"') > 0)
        found: list[Any] | None
        if split := decoded.dataframe_split:
            n_colons += 1 + (split.index is not None)
            found = split.data
            if split.columns is not None:
                n_colons += 1 + self._n_colons
                if split.columns != self._names:
                    found = self._ordered(split.columns, found)
            elif self._has_names:
                return None
        else:
            found = decoded.dataframe_records or decoded.instances or decoded.inputs
            if not found:
                return None
            if isinstance(found[0], dict):
                n_colons += len(found) * (len(self._names) + self._n_colons)
                found = self._from_records(found)
            elif self._has_names or decoded.dataframe_records:
                return None
        # One colon more: a key that is there twice, which the decoder passes over.
        if not found or body.count(b":") != n_colons or _n_layouts(decoded) != 1:
            return None
        return self._checked(found, params.output if params else "predictions")

    def of(self, table: Table) -> np.ndarray[Any, Any] | None:
        """Return the rows of a table."""
        if table.is_text or (table.names is None) == self._has_names:
            return None
        columns = table.columns
        if any(not _NUMBER_TYPES.issuperset(map(type, each)) for each in columns):
            return None
        rows: list[Any] | None = list(zip(*columns, strict=True))
        if table.names is not None and list(table.names) != self._names:
            rows = self._ordered(list(table.names), rows or [])
        found = self._checked(rows, table.output) if rows else None
        return found[0] if found else None

    def _ordered(self, names: list[str], rows: list[Any]) -> list[Any] | None:
        if len(names) != len(self._names) or set(names) != set(self._names):
            return None
        order = [names.index(name) for name in self._names]
        if any(len(row) != len(names) for row in rows):
            return None
        return [[row[i] for i in order] for row in rows]

    def _from_records(self, records: list[Any]) -> list[Any] | None:
        names = self._names
        try:
            rows = [[record[name] for name in names] for record in records]
        except (KeyError, TypeError):
            return None
        return None if any(len(each) != len(names) for each in records) else rows

    def _checked(
        self, rows: list[Any], output: str
    ) -> tuple[np.ndarray[Any, Any], str] | None:
        try:
            array = np.array(rows, dtype=np.float64)
        except (ValueError, TypeError, OverflowError):
            return None
        if array.ndim != 2 or array.shape[1] != len(self._names):
            return None
        largest = np.abs(array).max()
        if not largest < self._limit:
            if not np.isnan(largest) or self._required is None:
                return None
            gaps = np.isnan(array)
            if gaps[:, self._required].any():
                return None
            if not np.abs(array[~gaps]).max(initial=0.0) < self._limit:
                return None
        return (array.astype(np.float32) if self._is_single else array), output


def _n_layouts(decoded: _Body) -> int:
    layouts = (
        *(decoded.dataframe_split, decoded.dataframe_records),
        *(decoded.instances, decoded.inputs),
    )
    return sum(each is not None for each in layouts)
