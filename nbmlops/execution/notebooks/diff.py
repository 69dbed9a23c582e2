"""Two notebooks held against each other, cell by cell."""

from __future__ import annotations

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from nbmlops.entities import CellDifference

_ALIKE, _NEARLY_SAME = 0.5, 0.8
_MOST_PAIRS = 10_000  # beyond, cells that differ are shown as removed and added
_CONTEXT = 2


class _Cell(NamedTuple):
    words: Counter[str]

    def likeness(self, other: _Cell) -> float:
        """Return the share of words the two have in common, in [0, 1]."""
        n_shared = (self.words & other.words).total()
        return 2 * n_shared / max(self.words.total() + other.words.total(), 1)


def diff_cells(
    before: Sequence[str], after: Sequence[str]
) -> tuple[CellDifference, ...]:
    """Return the code cells of two notebooks that are not the same.

    >>> (cell,) = diff_cells(["x = 1", "fit(x)"], ["x = 2", "fit(x)"])
    >>> cell.change, cell.positions, cell.lines
    ('changed', (1, 1), ('- x = 1', '+ x = 2'))
    """
    old, new = [_tidy(each) for each in before], [_tidy(each) for each in after]
    matcher = difflib.SequenceMatcher(None, old, new)
    found: list[CellDifference] = []
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        for a, b in _pairs(old[i:i_end], new[j:j_end]):
            left = None if a is None else a + i
            right = None if b is None else b + j
            cell = _difference(old, new, left, right)
            if cell:
                found.append(cell)
    return tuple(found)


def _tidy(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip("\n").splitlines())


def _pairs(
    old: Sequence[str], new: Sequence[str]
) -> Iterator[tuple[int | None, int | None]]:
    """Yield the places of cells that belong together, in order."""
    if len(old) == len(new) == 1:
        yield 0, 0
        return
    if not old or not new or len(old) * len(new) > _MOST_PAIRS:
        yield from ((index, None) for index in range(len(old)))
        yield from ((None, index) for index in range(len(new)))
        return
    import nbdime
    from nbdime.diffing.config import DiffConfig

    # A configuration of our own: nbdime's is one for the process, and the notebook's
    # user may have set it to compare outputs alone.
    config = DiffConfig(
        predicates={
            "/cells": [
                lambda a, b: a.likeness(b) > _ALIKE,
                lambda a, b: a.likeness(b) > _NEARLY_SAME,
            ]
        },
        differs=defaultdict(lambda: lambda *_, **__: []),
    )
    cells = [
        [_Cell(Counter(re.findall(r"\w+|\S", s))) for s in each] for each in (old, new)
    ]
    operations = nbdime.diff(*cells, path="/cells", config=config)
    left = right = 0
    # Removed cells come before those added in their place.
    for operation in sorted(operations, key=lambda o: (o.key, o.op != "removerange")):
        while left < operation.key:
            yield left, right
            left, right = left + 1, right + 1
        if operation.op == "addrange":
            for _ in operation.valuelist:
                yield None, right
                right += 1
        elif operation.op == "removerange":
            for _ in range(operation.length):
                yield left, None
                left += 1
    while left < len(old):
        yield left, right
        left, right = left + 1, right + 1


def _difference(
    old: Sequence[str], new: Sequence[str], left: int | None, right: int | None
) -> CellDifference | None:
    before = [] if left is None else old[left].splitlines()
    after = [] if right is None else new[right].splitlines()
    if before == after and left is not None and right is not None:
        return None
    change: Any = "changed"
    if left is None or right is None:
        change = "added" if left is None else "removed"
    return CellDifference(
        change=change,
        positions=(_place(left), _place(right)),
        lines=tuple(_lines(before, after)),
    )


def _place(index: int | None) -> int | None:
    return None if index is None else index + 1


def _lines(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    matcher = difflib.SequenceMatcher(None, before, after)
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        if group[0][1] > 0:
            yield "..."
        for tag, i, i_end, j, j_end in group:
            if tag == "equal":
                yield from (f"  {line}" for line in before[i:i_end])
            else:
                yield from (f"- {line}" for line in before[i:i_end])
                yield from (f"+ {line}" for line in after[j:j_end])
