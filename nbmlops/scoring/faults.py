"""What is wrong with the values of a request, gathered and refused at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from nbmlops.scoring.request import refusal

_MOST_SHOWN = 20
_MOST_LISTED = 1000
_MOST_KEPT = 10_000
_MOST_FIXES = 3


@dataclass(frozen=True, slots=True)
class _Fault:
    row: int | None
    column: str | None
    problem: str
    sentence: str
    fix: str


class Faults:
    """Faults of one request: all are counted, the first of each column are kept.

    ``unseen`` counts what is no fault by the settings, if somebody wants to know.
    """

    def __init__(self, n_columns: int, unseen: Counter[str] | None = None) -> None:
        self.n = 0
        self._unseen = unseen
        self._most_of_column = max(_MOST_SHOWN, _MOST_LISTED // max(1, n_columns))
        self._n_kept: dict[str | None, int] = {}
        self._kept: list[_Fault] = []

    def add(
        self,
        problem: str | Callable[[], str],
        *,
        row: int | None = None,
        column: str | None = None,
        sentence: str | None = None,
        fix: str,
    ) -> None:
        """Note a fault; ``sentence`` is what a user reads, else place and problem."""
        self.n += 1
        n_kept = self._n_kept.get(column, 0)
        if len(self._kept) >= _MOST_KEPT or n_kept >= self._most_of_column:
            return
        self._n_kept[column] = n_kept + 1
        problem = problem if isinstance(problem, str) else problem()
        place = "" if row is None else f"Row {row}, column {column!r}: "
        self._kept.append(
            _Fault(row, column, problem, sentence or f"{place}{problem}", fix)
        )

    @property
    def is_counting(self) -> bool:
        """Whether somebody wants to know of unseen values."""
        return self._unseen is not None

    def count(self, kind: str, n: int) -> None:
        """Count values that training did not have, and that are no fault."""
        if self._unseen is not None and n:
            self._unseen[kind] += n

    def refuse(self) -> None:
        """Raise what was noted; one fault as a sentence of its own."""
        if not self.n:
            return
        # Columns first, which have no row; then row by row.
        self._kept.sort(key=lambda fault: -1 if fault.row is None else fault.row)
        shown = self._kept[:_MOST_SHOWN]
        problem = "; ".join(fault.sentence for fault in shown)
        if self.n > 1:
            more = f", the first {len(shown)}" if self.n > len(shown) else ""
            problem = f"The request has {self.n} faults{more}: {problem}"
        fixes = list(dict.fromkeys(fault.fix for fault in shown))
        ending = "" if problem.endswith("?") else "."
        error = refusal(f"{problem}{ending}", fix=" ".join(fixes[:_MOST_FIXES]))
        error.faults = [
            {"row": fault.row, "column": fault.column, "problem": fault.problem}
            for fault in self._kept[:_MOST_LISTED]
        ]
        raise error
