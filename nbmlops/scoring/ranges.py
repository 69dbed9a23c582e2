"""The least and largest number that each column had in training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from nbmlops.scoring.signature import InputSpec

_MOST_COLUMNS = 1000
_MOST_SINGLY = 8
_NUMBERS = "iuf"

Range = tuple[float, float]


def find_ranges(rows: Any) -> dict[str, list[float]]:  # noqa: ANN401 - a frame or array
    """Return the range of each column of numbers; none of a very wide table.

    What is not finite does not count.
    """
    import numpy as np
    import pandas as pd

    if isinstance(rows, pd.DataFrame):
        columns: Iterable[tuple[Any, Any]] = rows.items()
    elif isinstance(rows, pd.Series):
        columns = [(0, rows)]
    elif isinstance(rows, np.ndarray) and rows.ndim in (1, 2):
        table = rows.reshape(len(rows), -1)
        if rows.dtype.kind in _NUMBERS and table.shape[1] <= _MOST_COLUMNS:
            return _ranges_of_array(table)
        columns = enumerate(table.T)
    else:
        return {}
    if len(rows.shape) == 2 and rows.shape[1] > _MOST_COLUMNS:
        return {}
    found = ((str(name), _range(values)) for name, values in columns)
    return {name: list(limits) for name, limits in found if limits}


def _ranges_of_array(table: np.ndarray[Any, Any]) -> dict[str, list[float]]:
    import numpy as np

    with np.errstate(invalid="ignore"):
        ends = zip(table.min(axis=0).tolist(), table.max(axis=0).tolist(), strict=True)
    found = {}
    for i, (low, high) in enumerate(ends):
        is_finite = math.isfinite(low) and math.isfinite(high)
        limits = (low, high) if is_finite else _range(table[:, i])
        if limits:
            found[str(i)] = list(limits)
    return found


def _range(values: Any) -> Range | None:  # noqa: ANN401 - a Series or an array
    import numpy as np
    import pandas as pd

    if not isinstance(values, np.ndarray):
        if isinstance(values.dtype, pd.CategoricalDtype):
            return None
        is_plain = isinstance(values.dtype, np.dtype)
        values = (values if is_plain else values.dropna()).to_numpy()
    if values.dtype.kind == "O":
        values = values[~pd.isna(values)]
        if not all(map(_is_number, set(map(type, values)))):
            return None
    elif values.dtype.kind not in _NUMBERS:
        return None
    try:
        ends = _ends(values)
        if ends and not all(map(math.isfinite, ends)):
            ends = _ends(values[np.isfinite(values.astype(float))])
    except OverflowError:  # a number that no request can carry
        return None
    return ends


def _ends(values: np.ndarray[Any, Any]) -> Range | None:
    """Return the least and the largest as numbers that YAML and JSON can write."""
    if not len(values):
        return None
    low, high = (
        each.item() if hasattr(each, "item") else each
        for each in (values.min(), values.max())
    )
    return low, high


def _is_number(kind: type) -> bool:
    return issubclass(kind, Real) and not issubclass(kind, bool)


def read_ranges(stated: object) -> dict[str, Range]:
    """Return the ranges that an ``MLmodel`` states; what is no range is left out."""
    if not isinstance(stated, Mapping):
        return {}
    return {
        str(name): (ends[0], ends[1])
        for name, ends in stated.items()
        if isinstance(ends, list)
        and len(ends) == 2
        and all(type(end) in (int, float) for end in ends)
    }


class RangeCheck:
    """Counts, of the rows of an array, the numbers that training did not reach."""

    def __init__(self, spec: InputSpec) -> None:
        import numpy as np

        unbounded = (-math.inf, math.inf)
        ends = [spec.ranges.get(column.name, unbounded) for column in spec.columns]
        self._low, self._high = np.array(ends, dtype=float).reshape(-1, 2).T

    def count(self, rows: np.ndarray[Any, Any]) -> int:
        """Return how many are out of range; a gap is not."""
        return int(((rows < self._low) | (rows > self._high)).sum())


def rows_outside(built: Any, low: float, high: float) -> list[int]:  # noqa: ANN401
    """Return the rows of a column whose number is out of range; a gap is not."""
    if len(built) <= _MOST_SINGLY:  # faster one by one
        return [i for i, v in enumerate(built.tolist()) if v < low or v > high]
    outside: list[int] = ((built < low) | (built > high)).nonzero()[0].tolist()
    return outside
