"""Which values of which columns the marked rows have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, combinations_with_replacement, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
_LEVEL = 0.01
_LEAST_ROWS = 10
_LEAST_SHARE = 0.005
_TIMES = 2.0
_TIMES_OF_MOST = 5.0
_MORE = 0.05
_MOST_FOUND = 5
_PENALTY = 5.0
_MOST_VALUES = 100
_FEW_VALUES = 12
_QUANTILES = (0.02, 0.05, *np.arange(0.1, 0.95, 0.1), 0.95, 0.98)
_COARSE_QUANTILES = (0.25, 0.5, 0.75)
_COARSE_VALUES = 8
_MOST_PAIRS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSlice:
    """Rows with values in common, of which more are marked than of the others."""

    name: str
    columns: tuple[str, ...]
    rows: Mask
    p_value: float


@dataclass(frozen=True, slots=True)
class _Codes:
    """A column as the number of a value or of a range of values, -1 for neither."""

    column: str
    codes: npt.NDArray[np.intp]
    names: Sequence[str]
    edges: Sequence[str] = ()

    def ranges(self) -> Iterator[tuple[str, int, int]]:
        """Yield the slices by this column alone, as their first and last code.

        These are each value, or each range between two edges or beyond one.
        """
        n_ranges = len(self.edges) + 1 if self.edges else 0
        for low, high in combinations_with_replacement(range(n_ranges), 2):
            if high - low + 1 < n_ranges:
                yield self._range(low, high), low, high
        for code in range(n_ranges, len(self.names)):
            yield self.names[code], code, code

    def _range(self, low: int, high: int) -> str:
        if high == len(self.edges):
            return f"{self.column} > {self.edges[low - 1]}"
        below = f"{self.column} <= {self.edges[high]}"
        return below if low == 0 else f"{self.edges[low - 1]} < {below}"

    def counts(self, rows: Mask) -> npt.NDArray[np.intp]:
        """Return how many of some rows have each code, after a 0, summed up."""
        known = self.codes[rows & (self.codes >= 0)]
        return np.append(0, np.bincount(known, minlength=len(self.names)).cumsum())

    def mask(self, low: int, high: int) -> Mask:
        """Return which rows have a code from the first to the last."""
        return (self.codes >= low) & (self.codes <= high)


@dataclass(frozen=True, slots=True)
class Slices:
    """All slices of a table's rows that are looked at.

    A slice is a value of a column, a range between quantiles, or one value or quarter
    of each of two columns. They depend on the rows alone, not on which are marked, so
    that their number is what a p-value is corrected by.
    """

    fine: Sequence[_Codes]
    coarse: Sequence[_Codes]
    n_slices: int

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Slices:
        """Return the slices of rows."""
        fine, coarse = [], []
        for name in rows:
            if found := _encode(rows[name], _QUANTILES, _MOST_VALUES):
                fine.append(found)
            if found := _encode(rows[name], _COARSE_QUANTILES, _COARSE_VALUES):
                coarse.append(found)
        n_single = sum(1 for each in fine for _ in each.ranges())
        sizes = np.array([len(each.names) for each in coarse])
        n_pairs = (sizes.sum() ** 2 - (sizes**2).sum()) // 2 if len(sizes) else 0
        return cls(fine, coarse, n_single + int(n_pairs))

    def find(self, marked: Mask, *, n_tests: int = 1) -> list[FoundSlice]:
        """Return the slices with many more marked rows, the clearest first.

        When nothing sets the marked rows apart from others, there is none with a
        probability of 99 %: p-values are those of Fisher's exact test, one-sided, times
        the number of slices, and of tests. Rows of a slice that was found are left out
        of the next.
        """
        found: list[FoundSlice] = []
        left = np.ones(len(marked), dtype=bool)
        while len(found) < _MOST_FOUND and marked[left].any():
            best = self._best(marked, left, n_tests)
            if best is None:
                break
            found.append(best)
            left &= ~best.rows
        return found

    def _best(self, marked: Mask, left: Mask, n_tests: int) -> FoundSlice | None:
        n_rows, n_marked = int(left.sum()), int((marked & left).sum())
        candidates = [*self._single(marked, left)]
        best: dict[str, float] = {}
        gains = _gains(candidates, n_rows, n_marked)
        for each, gain in zip(candidates, gains, strict=True):
            best[each.columns[0]] = max(best.get(each.columns[0], 0.0), gain)
        candidates += self._pairs(marked, left, best)
        gains = _gains(candidates, n_rows, n_marked)
        gains[~_are_far(candidates, n_rows, n_marked)] = 0.0
        gains -= [_PENALTY * (len(each.columns) - 1) for each in candidates]
        if not (len(gains) and gains.max() > 0):
            return None
        chosen = candidates[int(gains.argmax())]
        n, k = chosen.n_rows, chosen.n_marked
        p_value = _tail(k, n, n_rows, n_marked) * self.n_slices * n_tests
        if p_value > _LEVEL:
            return None
        return FoundSlice(
            name=chosen.name,
            columns=chosen.columns,
            rows=chosen.mask() & left,
            p_value=p_value,
        )

    def _single(self, marked: Mask, left: Mask) -> Iterator[_Candidate]:
        for codes in self.fine:
            n_to, k_to = codes.counts(left), codes.counts(left & marked)
            for name, low, high in codes.ranges():
                yield _Candidate(
                    name,
                    (codes.column,),
                    int(n_to[high + 1] - n_to[low]),
                    int(k_to[high + 1] - k_to[low]),
                    partial(codes.mask, low, high),
                )

    def _pairs(
        self, marked: Mask, left: Mask, gains: Mapping[str, float]
    ) -> Iterator[_Candidate]:
        """Yield the slices by two columns, of those columns that tell most alone."""
        ordered = sorted(self.coarse, key=lambda each: -gains.get(each.column, 0.0))
        pairs = sorted(combinations(range(len(ordered)), 2), key=sum)[:_MOST_PAIRS]
        for first, second in ((ordered[a], ordered[b]) for a, b in pairs):
            width = len(second.names)
            is_known = left & (first.codes >= 0) & (second.codes >= 0)
            joint = np.where(is_known, first.codes * width + second.codes, -1)
            size = len(first.names) * width
            n_each = np.bincount(joint[is_known], minlength=size)
            k_each = np.bincount(joint[is_known & marked], minlength=size)
            for code in np.flatnonzero(k_each).tolist():
                yield _Candidate(
                    f"{first.names[code // width]} and {second.names[code % width]}",
                    (first.column, second.column),
                    int(n_each[code]),
                    int(k_each[code]),
                    partial(np.equal, joint, code),
                )


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: str
    columns: tuple[str, ...]
    n_rows: int
    n_marked: int
    mask: Callable[[], Mask]


def _counts(candidates: Sequence[_Candidate]) -> tuple[Floats, Floats]:
    n = np.array([each.n_rows for each in candidates], dtype=float)
    return n, np.array([each.n_marked for each in candidates], dtype=float)


def _gains(candidates: Sequence[_Candidate], n_rows: int, n_marked: int) -> Floats:
    """Return how much likelier two shares make what is marked than one share does."""
    n, k = _counts(candidates)
    gains: Floats = _likelihood(k, n) + _likelihood(n_marked - k, n_rows - n)
    gains -= _likelihood(np.full(1, n_marked), np.full(1, n_rows))
    return gains


def _likelihood(k: Any, n: Any) -> Any:  # noqa: ANN401 - arrays
    from scipy.special import xlogy

    some = np.maximum(n, 1)
    return xlogy(k, k / some) + xlogy(n - k, (n - k) / some)


def _are_far(candidates: Sequence[_Candidate], n_rows: int, n_marked: int) -> Mask:
    """Return which are of some size, and have a share far above that of the others."""
    n, k = _counts(candidates)
    share = k / np.maximum(n, 1)
    elsewhere = (n_marked - k) / np.maximum(n_rows - n, 1)
    is_large = (n >= max(_LEAST_ROWS, _LEAST_SHARE * n_rows)) & (n < n_rows)
    found: Mask = is_large & (
        share >= np.maximum(_TIMES * elsewhere, elsewhere + _MORE)
    )
    return found


def _tail(k: int, n: int, n_rows: int, n_marked: int) -> float:
    from scipy.stats import hypergeom

    return float(hypergeom.sf(k - 1, n_rows, n_marked, n))


def _encode(
    values: pd.Series[Any], quantiles: Sequence[float], most: int
) -> _Codes | None:
    """Return a column as codes; None when its rows are all alike, or of no order."""
    name = str(values.name)
    is_missing = values.isna().to_numpy()
    is_time = pd.api.types.is_datetime64_any_dtype(values)
    if is_time:
        seconds = values.to_numpy(dtype="datetime64[s]").astype(float)
        values = pd.Series(np.where(is_missing, np.nan, seconds))
    known = values[~is_missing]
    try:
        n_values = known.nunique()
    except TypeError:  # lists
        return None
    is_number = pd.api.types.is_numeric_dtype(values)
    if n_values + is_missing.any() < 2:
        return None
    if is_number and n_values > _FEW_VALUES:
        return _ranges(name, values, is_missing, quantiles, is_time=is_time)
    counts = known.value_counts()
    shown = counts.index[:most]
    codes = shown.get_indexer_for(pd.Index(values))
    names = [f"{name} = {_shown(value)}" for value in shown]
    return _with_missing(name, codes, names, is_missing)


def _ranges(
    name: str,
    values: pd.Series[Any],
    is_missing: Mask,
    quantiles: Sequence[float],
    *,
    is_time: bool,
) -> _Codes | None:
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    known = numbers[~is_missing]
    edges = np.unique(np.quantile(known, quantiles, method="lower"))
    edges = edges[edges < known.max()]
    if not len(edges):
        return None
    codes = np.searchsorted(edges, numbers, side="left")
    if is_time:
        ends = [str(pd.Timestamp(edge, unit="s")) for edge in edges]
    else:
        ends = [f"{edge:.6g}" for edge in edges]
    middle = [f"{a} < {name} <= {b}" for a, b in pairwise(ends)]
    names = [f"{name} <= {ends[0]}", *middle, f"{name} > {ends[-1]}"]
    return _with_missing(name, codes, names, is_missing, ends)


def _with_missing(
    name: str,
    codes: npt.NDArray[np.intp],
    names: list[str],
    is_missing: Mask,
    edges: Sequence[str] = (),
) -> _Codes:
    if is_missing.any():
        codes = np.where(is_missing, len(names), codes)
        names = [*names, f"{name} is missing"]
    return _Codes(name, codes, names, edges)


def _shown(value: object) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:39]}…")
    return str(value)
