"""A request's table held against the signature: the model's input, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from nbmlops.entities import Column, Signature
from nbmlops.errors import did_you_mean
from nbmlops.serving.protocol import Table, refusal

_TEXT = pd.Series(["text"]).dtype
_MAX_FLOAT32 = float(np.finfo(np.float32).max)
_BOOLEANS = {"true": True, "false": False}


def to_input(
    table: Table, signature: Signature, *, is_flat: bool = False
) -> pd.DataFrame | np.ndarray[Any, Any]:
    """Return what the model takes, no value changed on the way.

    Parameters
    ----------
    table : Table
        What the request carries.
    signature : Signature
        The model's.
    is_flat : bool, default=False
        Whether a nameless column is handed on as an array of one dimension.

    Returns
    -------
    DataFrame or ndarray
        A frame with the signature's columns in their order; an array when the
        signature names no column.

    Raises
    ------
    UsageError
        A column is unknown, missing or double, or a value does not fit its type.
    """
    if not any(column.name for column in signature.inputs):
        return _to_array(table, signature, is_flat=is_flat)
    found = _by_name(table, signature)
    n_rows = len(table.columns[0])
    return pd.DataFrame(
        {
            column.name: _convert(
                found.get(column.name, (None,) * n_rows), column, table.is_text
            )
            for column in signature.inputs
        },
        copy=False,
    )


def _to_array(
    table: Table, signature: Signature, *, is_flat: bool
) -> np.ndarray[Any, Any]:
    expected = len(signature.inputs)
    if len(table.columns) != expected:
        raise refusal(
            f"Rows have {len(table.columns)} values, the model takes {expected}.",
            fix=f"Send {expected} values in each row.",
        )
    columns = [
        np.asarray(
            _convert(values, Column(name=str(i), **_rest(column)), table.is_text)
        )
        for i, (values, column) in enumerate(
            zip(table.columns, signature.inputs, strict=True)
        )
    ]
    return columns[0] if is_flat else np.column_stack(columns)


def _rest(column: Column) -> dict[str, Any]:
    return {"type": column.type, "is_required": column.is_required}


def _by_name(table: Table, signature: Signature) -> dict[str, Sequence[Any]]:
    known = [column.name for column in signature.inputs]
    listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    fix = f"Send these columns: {listed}."
    names = table.names
    if names is None:
        if len(known) != 1 or len(table.columns) != 1:
            raise refusal("The rows come without column names.", fix=fix)
        names = tuple(known)
    found = dict(zip(names, table.columns, strict=True))
    if len(found) != len(names):
        twin = next(name for name in names if names.count(name) > 1)
        raise refusal(f"Column {twin[:60]!r} stands twice.", fix="Send it once.")
    missing = [c.name for c in signature.inputs if c.name not in found]
    for name in names:
        if name not in known:
            raise refusal(
                f"Unknown column {name[:60]!r}.{did_you_mean(name, missing or known)}",
                fix=fix,
            )
    for column in signature.inputs:
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
    build: Callable[[Sequence[Any]], Any]


def _convert(values: Sequence[Any], column: Column, is_text: bool) -> Any:  # noqa: ANN401
    kind = _KINDS[column.type]
    if is_text:
        values = [_read_text(kind, text) for text in values]
    if set(map(type, values)) == {kind.plain}:
        built = kind.build(values)
        if kind.plain is not float or np.isfinite(built).all():
            return built
    return kind.build(
        [_look(value, row, column, kind) for row, value in enumerate(values)]
    )


def _look(value: object, row: int, column: Column, kind: _Kind) -> object:
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
            f"Row {row}, column {column.name!r}: {shown} is not {kind.means}.",
            fix=f"Send {kind.means} ({column.type} in the model's signature).",
        )
    return value


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


def _is_small(value: object) -> bool:
    return type(value) in (int, float) and -_MAX_FLOAT32 <= value <= _MAX_FLOAT32  # type: ignore[operator]


def _is_whole(n_bits: int) -> Callable[[object], bool]:
    def fits(value: object) -> bool:
        if type(value) is float and value.is_integer():
            value = int(value)
        return type(value) is int and -(2 ** (n_bits - 1)) <= value < 2 ** (n_bits - 1)

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


def _build_any(values: Sequence[Any]) -> Any:  # noqa: ANN401
    return pd.Series([math.nan if v is None else v for v in values])


def _build_times(values: Sequence[Any]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([None if v is None else _to_utc(v) for v in values])


def _build(dtype: str, *, gaps: str) -> Callable[[Sequence[Any]], Any]:
    def build(values: Sequence[Any]) -> Any:  # noqa: ANN401
        has_gaps = None in values
        filled = [math.nan if v is None else v for v in values] if has_gaps else values
        return np.array(filled, dtype=gaps if has_gaps else dtype)

    return build


def _build_text(values: Sequence[Any]) -> Any:  # noqa: ANN401
    # A gap is NaN, as pandas reads one from a file: encoders tell None from it.
    return pd.Series([math.nan if v is None else v for v in values], dtype=_TEXT)


_KINDS = {
    "double": _Kind(
        "a number", float, _is_number, _read_number, _build("float64", gaps="float64")
    ),
    "float": _Kind(
        "a number of 32 bits",
        float,
        _is_small,
        _read_number,
        _build("float32", gaps="float32"),
    ),
    "long": _Kind(
        "a whole number",
        None,
        _is_whole(64),
        _read_number,
        _build("int64", gaps="float64"),
    ),
    "integer": _Kind(
        "a whole number of 32 bits",
        None,
        _is_whole(32),
        _read_number,
        _build("int32", gaps="float64"),
    ),
    "boolean": _Kind(
        "true or false",
        bool,
        lambda value: type(value) is bool,
        lambda text: _BOOLEANS[text.lower()],
        _build("bool", gaps="object"),
    ),
    "string": _Kind("text", str, lambda value: type(value) is str, str, _build_text),
    "any": _Kind("one value", None, _is_scalar, str, _build_any),
    "datetime": _Kind("an ISO 8601 time", None, _is_time, str, _build_times),
}
