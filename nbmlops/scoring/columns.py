"""A column of a request: its values as the model takes them, or their faults."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from nbmlops.entities import Column
from nbmlops.scoring.faults import Faults
from nbmlops.scoring.ranges import Range, rows_outside
from nbmlops.scoring.request import shown_value
from nbmlops.scoring.signature import InputSpec
from nbmlops.scoring.value_types import LIMITS, VALUE_TYPES

REFUSED: Any = object()
"""Stands for a value or a column that is at fault."""


def convert(
    values: Sequence[Any],
    column: Column,
    spec: InputSpec,
    faults: Faults,
    *,
    is_text: bool = False,
) -> Any:  # noqa: ANN401 - an array, a Series or an Index
    """Return a column as the model takes it; `REFUSED` if values are at fault."""
    value_type = VALUE_TYPES[column.type]
    # What a gap is among objects: NaN or None, which encoders distinguish.
    has_none = spec.dtypes and "gap" in spec.dtypes.get(column.name, {})
    gap = None if has_none else math.nan
    if is_text:
        values = read_all(values, column)
    if set(map(type, values)) == {value_type.plain}:
        with suppress(OverflowError):  # the look at each value finds which
            built = value_type.build(values, gap)
            if value_type.plain is not float or np.isfinite(built).all():
                return (
                    _within_range(built, column, spec, faults) if spec.ranges else built
                )
    n_before = faults.n
    checked = [
        check_value(value, row, column, faults) for row, value in enumerate(values)
    ]
    if column.type in ("long", "integer") and any(
        value is None or value % 1 for value in checked if value is not REFUSED
    ):
        find_inexact(checked, column, faults)
    if faults.n == n_before:
        built = value_type.build(checked, gap)
        return _within_range(built, column, spec, faults)
    _find_unseen(checked, column, spec, faults)
    return REFUSED


def read_all(values: Sequence[str], column: Column) -> list[Any]:
    """Return texts of a CSV as values; as they are where they cannot be read."""
    return [VALUE_TYPES[column.type].read_cell(text) for text in values]


def check_value(value: Any, row: int, column: Column, faults: Faults) -> Any:  # noqa: ANN401
    """Return a value that fits, None for a gap, `REFUSED` for a fault."""
    value_type = VALUE_TYPES[column.type]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        if not column.is_required:
            return None
        faults.add(
            "the value is missing",
            row=row,
            column=column.name,
            fix=f"Send {value_type.means}: the model was trained without gaps there.",
        )
        return REFUSED
    if value_type.fits(value):
        return value
    faults.add(
        lambda: f"{shown_value(value)} {_reason(value, column.type)}",
        row=row,
        column=column.name,
        fix=f"Send {value_type.means} ({column.type} in the model's signature).",
    )
    return REFUSED


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


def find_inexact(values: Sequence[Any], column: Column, faults: Faults) -> None:
    """Note whole numbers that would be changed in a column of doubles."""
    for row, value in enumerate(values):
        if type(value) is int and int(float(value)) != value:
            faults.add(
                f"{value} is a whole number that a double cannot hold; gaps and "
                "fractions make a column of doubles",
                row=row,
                column=column.name,
                fix=f"Send whole numbers without gaps, or none beyond {2**53}.",
            )


def as_category(
    values: pd.Series[Any], column: Column, spec: InputSpec, faults: Faults
) -> pd.Series[Any]:
    """Return values as categories; the model decides what it makes of unknown ones."""
    dtype = spec.dtypes[column.name]
    known = dtype["categories"]
    present = values.dropna()
    unseen = present[~present.isin(known)]
    if spec.unseen_category == "warn":
        faults.count("unseen_category", len(unseen))
    elif len(unseen):
        rows = unseen.index.tolist()
        _refuse_categories(zip(rows, unseen, strict=True), column, known, faults)
    is_ordered = dtype.get("ordered", False)
    categories = [*known, *unseen.unique().tolist()]
    return values.astype(pd.CategoricalDtype(categories, ordered=is_ordered))


def _within_range(
    built: Any,  # noqa: ANN401 - an array
    column: Column,
    spec: InputSpec,
    faults: Faults,
) -> Any:  # noqa: ANN401
    """Return a column, its numbers that training did not reach counted or noted."""
    if ends := spec.ranges.get(column.name):
        if spec.out_of_range == "refuse":
            rows = rows_outside(built, *ends)
            pairs = [(row, built[row]) for row in rows]
            _refuse_numbers(pairs, column, ends, faults)
        elif faults.is_counting:
            faults.count("out_of_range", len(rows_outside(built, *ends)))
    return built


def _find_unseen(
    checked: Sequence[Any], column: Column, spec: InputSpec, faults: Faults
) -> None:
    """Note what training did not have, in a column that has other faults."""
    good = [
        (row, value)
        for row, value in enumerate(checked)
        if value is not None and value is not REFUSED
    ]
    ends = spec.ranges.get(column.name)
    if ends is not None and spec.out_of_range == "refuse":
        low, high = ends
        outside = [each for each in good if not low <= each[1] <= high]
        _refuse_numbers(outside, column, ends, faults)
    known = spec.dtypes.get(column.name, {}).get("categories")
    if known is not None and spec.unseen_category == "refuse":
        unseen = [each for each in good if each[1] not in known]
        _refuse_categories(unseen, column, known, faults)


def _refuse_numbers(
    pairs: Iterable[tuple[int, Any]], column: Column, ends: Range, faults: Faults
) -> None:
    for row, value in pairs:
        problem = f"{value} is out of the range of the training data"
        fix = f"Send a number from {ends[0]} to {ends[1]}."
        faults.add(problem, row=row, column=column.name, fix=fix)


def _refuse_categories(
    pairs: Iterable[tuple[int, Any]],
    column: Column,
    known: Sequence[Any],
    faults: Faults,
) -> None:
    fix = f"Send one of {listing(map(repr, known))}."
    for row, value in pairs:
        problem = f"{shown_value(value)} is not a category of the training data"
        faults.add(problem, row=row, column=column.name, fix=fix)


def listing(known: Iterable[str]) -> str:
    """Return the first 20, as they are listed in a message."""
    first = list(islice(known, 21))
    return ", ".join(first[:20]) + (", ..." if len(first) > 20 else "")
