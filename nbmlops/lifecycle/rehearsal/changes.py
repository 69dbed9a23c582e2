"""What differs between the predictions that were given and those of another version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from nbmlops.entities import Flip, RehearsalSlice, RowError, Shift
from nbmlops.lifecycle.rehearsal.slices import Floats, FoundSlice, Mask, Slices
from nbmlops.serving.offline import Answers, answer_rows

_MOST_LISTED = 10
_QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
_EQUAL = 1e-9
_LARGE_QUANTILE = 0.9
_MOST_QUANTILE = 0.98
_LARGE_SHARE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What differs, row by row and by slice."""

    kind: Literal["classes", "numbers"]
    after: list[Any]
    different: Mask
    changed: Mask
    failed: Mask
    flips: tuple[Flip, ...]
    shift: Shift | None
    errors: tuple[RowError, ...]
    us_per_row: float
    us_single: float
    slices: tuple[RehearsalSlice, ...]
    n_slices: int


def compare_predictions(
    rows: pd.DataFrame,
    before: Sequence[Any],
    predict: Callable[[pd.DataFrame], Sequence[Any]],
    *,
    ids: Sequence[tuple[str, int]] | None = None,
) -> Changes:
    """Return what differs between earlier predictions for rows and ``predict``."""
    return compare_answers(rows, before, answer_rows(rows, predict), ids=ids)


def compare_answers(
    rows: pd.DataFrame,
    before: Sequence[Any],
    answers: Answers,
    *,
    ids: Sequence[tuple[str, int]] | None = None,
) -> Changes:
    """Return what differs between earlier predictions for rows and answers to them.

    A class is changed if it is another one. A number is changed if its difference is
    among the largest tenth, and at least 0.02 of the standard deviation of the earlier
    ones: that many rows may be, also if all numbers differ a little.
    """
    after = answers.predictions
    failed = np.zeros(len(rows), dtype=bool)
    failed[list(answers.errors)] = True
    differences = shift = None
    if _are_classes(before, after, answers):
        pairs = zip(before, after, strict=True)
        different = np.array([not _is_same(b, a) for b, a in pairs], dtype=bool)
        different &= ~failed
        changed = different
    else:
        shift, different, changed, differences = _shift(
            _numbers(before), _numbers(after), failed
        )
    slices = _Search(rows, changed, failed, differences)
    found = slices.find_changed() + slices.find_failed()
    return Changes(
        kind="classes" if differences is None else "numbers",
        after=after,
        different=different,
        changed=changed,
        failed=failed,
        flips=_flips(before, after, changed) if differences is None else (),
        shift=shift,
        errors=_errors(answers, ids or [("", n) for n in range(len(rows))]),
        us_per_row=answers.us_per_row,
        us_single=answers.us_single,
        slices=found,
        n_slices=slices.n_slices,
    )


class _Search:
    """Looks for slices among distinct rows: a row sent a hundred times is one."""

    def __init__(
        self,
        rows: pd.DataFrame,
        changed: Mask,
        failed: Mask,
        differences: Floats | None,
    ) -> None:
        self._rows = rows
        self._changed = changed
        self._failed = failed
        self._differences = differences
        self._is_first = ~_duplicated(rows)
        self.n_slices = 0

    def find_changed(self) -> tuple[RehearsalSlice, ...]:
        """Return where predictions changed; for numbers, also the few that most did."""
        among = np.flatnonzero(self._is_first & ~self._failed)
        marks = [self._changed[among]]
        if self._differences is not None and marks[0].any():
            sizes = np.abs(self._differences[among])
            most = np.quantile(sizes, _MOST_QUANTILE)
            marks.insert(0, marks[0] & (sizes >= most))
        return self._slices(among, marks, "changed")

    def find_failed(self) -> tuple[RehearsalSlice, ...]:
        """Return where the version raised."""
        among = np.flatnonzero(self._is_first)
        return self._slices(among, [self._failed[among]], "failed")

    def _slices(
        self,
        among: Any,  # noqa: ANN401 - an array
        marks: Sequence[Mask],
        what: Literal["changed", "failed"],
    ) -> tuple[RehearsalSlice, ...]:
        if not marks[-1].any():
            return ()
        slices = Slices.of(self._rows.iloc[among])
        self.n_slices = max(self.n_slices, slices.n_slices)
        found: dict[tuple[str, ...], FoundSlice] = {}
        for marked in marks:
            for each in slices.find(marked, n_tests=len(marks)):
                found.setdefault(each.columns, each)
        elsewhere = np.ones(len(among), dtype=bool)
        for each in found.values():
            elsewhere &= ~each.rows
        return tuple(
            RehearsalSlice(
                name=each.name,
                columns=each.columns,
                what=what,
                n_rows=int(each.rows.sum()),
                share=_share(marks[-1][each.rows]),
                share_elsewhere=_share(marks[-1][elsewhere]),
                p_value=each.p_value,
                shift=self._mean(among[each.rows]) if what == "changed" else None,
            )
            for each in sorted(found.values(), key=lambda each: each.p_value)
        )

    def _mean(self, rows: Any) -> float | None:  # noqa: ANN401 - an array
        if self._differences is None:
            return None
        known = self._differences[rows]
        known = known[np.isfinite(known)]
        return float(known.mean()) if len(known) else None


def _share(marked: Mask) -> float:
    return float(marked.mean()) if len(marked) else 0.0


def _duplicated(rows: pd.DataFrame) -> Mask:
    try:
        return rows.duplicated().to_numpy(dtype=bool)
    except TypeError:  # lists
        return rows.astype(str).duplicated().to_numpy(dtype=bool)


def _are_classes(before: Sequence[Any], after: Sequence[Any], answers: Answers) -> bool:
    if answers.has_classes:
        return True
    known = [v for v in (*before, *after) if not _is_gap(v)]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in known):
        return True
    return answers.has_classes is None and all(v == round(v) for v in known)


def _is_gap(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _is_same(before: object, after: object) -> bool:
    return before == after or (_is_gap(before) and _is_gap(after))


def _numbers(values: Sequence[Any]) -> Floats:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def _shift(
    before: Floats, after: Floats, failed: Mask
) -> tuple[Shift, Mask, Mask, Floats]:
    """Return how numbers shift, which differ, which by a large amount, by how much."""
    differences = after - before
    differences[np.isnan(before) & np.isnan(after)] = 0.0
    differences[failed] = 0.0
    is_known = np.isfinite(differences) & np.isfinite(before) & ~failed
    known, reference = differences[is_known], before[is_known]
    if not len(known):
        known = reference = np.zeros(1)
    spread = float(reference.std())
    least = _EQUAL * np.maximum(np.nan_to_num(np.abs(before)), spread)
    different = ~(np.abs(differences) <= least) & ~failed
    large = max(
        float(np.quantile(np.abs(known), _LARGE_QUANTILE)), _LARGE_SHARE * spread
    )
    changed = different & ~(np.abs(differences) < large * (1 - _EQUAL))
    shift = Shift(
        mean=float(known.mean()),
        quantiles=tuple(map(float, np.quantile(known, _QUANTILES))),
        mean_before=float(reference.mean()),
        mean_after=float((reference + known).mean()),
        large=large,
    )
    return shift, different, changed, differences


def _flips(
    before: Sequence[Any], after: Sequence[Any], changed: Mask
) -> tuple[Flip, ...]:
    counts = Counter((before[n], after[n]) for n in np.flatnonzero(changed).tolist())
    return tuple(
        Flip(before=pair[0], after=pair[1], n_rows=n)
        for pair, n in counts.most_common(_MOST_LISTED)
    )


def _errors(answers: Answers, ids: Sequence[tuple[str, int]]) -> tuple[RowError, ...]:
    first: dict[str, int] = {}
    for n in sorted(answers.errors):
        first.setdefault(answers.errors[n], n)
    counts = Counter(answers.errors.values())
    return tuple(
        RowError(
            message=message,
            n_rows=n_rows,
            request_id=ids[first[message]][0],
            row=ids[first[message]][1],
        )
        for message, n_rows in counts.most_common(_MOST_LISTED)
    )
