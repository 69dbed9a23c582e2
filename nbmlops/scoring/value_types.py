"""MLflow's types of values: what fits one, and the column it makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

_TEXT = pd.Series(["text"]).dtype
_MAX_FLOAT32 = float(np.finfo(np.float32).max)
_BOOLEANS = {"true": True, "false": False}

LIMITS = {
    "float": (-_MAX_FLOAT32, _MAX_FLOAT32),
    "integer": (-(2**31), 2**31 - 1),
    "long": (-(2**63), 2**63 - 1),
}
"""The least and the largest number of a type."""


@dataclass(frozen=True, slots=True)
class ValueType:
    """How one of MLflow's types is read.

    Values of the type ``plain`` fit without a look at each; ``fits`` looks at one.
    """

    means: str
    plain: type | None
    fits: Callable[[Any], bool]
    read: Callable[[str], Any]
    build: Callable[[Sequence[Any], Any], Any]

    def read_cell(self, text: str) -> object:
        """Return the value of a cell of a CSV; the text where it is of another type."""
        try:
            return None if text == "" else self.read(text)
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


def _is_within(type_name: str) -> Callable[[Any], bool]:
    least, most = LIMITS[type_name]
    return lambda value: type(value) in (int, float) and least <= value <= most


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


def _filled(values: Sequence[Any], gap: object) -> list[Any]:
    return [gap if value is None else value for value in values]


def _times(values: Sequence[Any], _: object) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([v and _to_utc(v) for v in values])


def _number_type(
    means: str, plain: type, dtype: str, fits: Callable[[Any], bool]
) -> ValueType:
    def build(values: Sequence[Any], _: object) -> Any:  # noqa: ANN401
        if plain is int and all(v is not None and v % 1 == 0 for v in values):
            return np.array([int(v) for v in values], dtype=dtype)
        # Gaps and fractions make a column of doubles; of None numpy makes NaN.
        with np.errstate(over="ignore"):  # infinite, and so found
            return np.array(values, dtype="float64" if plain is int else dtype)

    return ValueType(means, plain, fits, _read_number, build)


def _booleans(values: Sequence[Any], gap: object) -> Any:  # noqa: ANN401
    return np.array(_filled(values, gap), dtype=object if None in values else bool)


def _texts(values: Sequence[Any], gap: object) -> pd.Series[Any]:
    is_object = gap is None and None in values
    return pd.Series(_filled(values, gap), dtype=object if is_object else _TEXT)


VALUE_TYPES = {
    "double": _number_type("a number", float, "float64", _is_number),
    "float": _number_type("a number of 32 bits", float, "float32", _is_within("float")),
    "long": _number_type("a number", int, "int64", _is_within("long")),
    "integer": _number_type("a number of 32 bits", int, "int32", _is_within("integer")),
    "boolean": ValueType(
        "true or false",
        bool,
        lambda value: type(value) is bool,
        lambda text: _BOOLEANS[text.lower()],
        _booleans,
    ),
    "string": ValueType("text", str, lambda value: type(value) is str, str, _texts),
    "any": ValueType(
        "one value",
        None,
        _is_scalar,
        str,
        lambda values, gap: pd.Series(_filled(values, gap)),
    ),
    "datetime": ValueType("an ISO 8601 time", None, _is_time, str, _times),
}
