"""Which executions of cells a run depends on, and whether their order matters."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass

ANY = "*"
"""Among reads or writes: every name there is."""
_Writers = tuple[list[int], list[tuple[float, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What one execution of a cell reads and changes, by name."""

    reads: frozenset[str]
    writes: frozenset[str]
    defines: frozenset[str] = frozenset()
    unlikely: frozenset[str] = frozenset()
    must_keep: bool = False


UNKNOWN = Effects(reads=frozenset({ANY}), writes=frozenset({ANY}), must_keep=True)
"""Of a cell that cannot be judged at all."""
NOTHING = Effects(reads=frozenset(), writes=frozenset())
"""Of a cell that was no Python, so that none of it ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution of a cell, as the order of cells is judged by it."""

    effects: Effects
    code: str
    place: float | None
    is_whole: bool = True
    is_edited: bool = False


def backward(effects: Sequence[Effects], targets: Collection[int]) -> tuple[int, ...]:
    """Return the executions that the targets depend on, by position, ascending.

    With all that must be kept because names do not show what it does.
    """
    kept: list[int] = []
    needed: set[str] = set()
    for position in range(max(targets, default=-1), -1, -1):
        found = effects[position]
        is_needed = position in targets or found.must_keep or ANY in needed
        if is_needed or ANY in found.writes or found.writes & needed:
            kept.append(position)
            needed = (needed - found.defines) | found.reads
    return tuple(reversed(kept))


def out_of_order(
    cells: Sequence[Execution], targets: Collection[int]
) -> tuple[int, ...]:
    """Return the executions that a run from the top of the notebook would not repeat.

    The targets, which are a run's own cells and end with the last that ran, are clean
    when each name that they depend on had, as its last writer, the last cell above them
    in the notebook that ran and writes it, with the source that the cell has now.
    """
    if _is_one_pass(cells):
        return ()
    order = _Order(cells)
    found: set[int] = set()
    needed: set[str] = set()
    for position in range(max(targets), -1, -1):
        effects = cells[position].effects
        written = {name for name in needed if order.writes(name, position)}
        if not written and position not in targets:
            continue
        needed -= written
        for name in effects.reads | (written - effects.defines):
            if name[0] == "<" and name in effects.unlikely:
                continue  # it hardly draws random numbers
            as_run = order.last_before(position, name)
            from_top = order.last_above(position, name)
            is_left = as_run is None or name not in effects.reads
            if from_top is None and (is_left or order.was_absent(position, name)):
                continue
            if order.is_same(as_run, from_top):
                needed.add(name)
                continue
            is_own = as_run is not None and cells[as_run].place == cells[position].place
            found |= {as_run, None if is_own else from_top} - {None}  # type: ignore[arg-type]
    return tuple(sorted(found))


def _is_one_pass(cells: Sequence[Execution]) -> bool:
    """Return whether each cell ran once, from the top to the bottom."""
    before = -1.0
    for cell in cells[:-1]:
        if cell.is_edited or cell.place is None or cell.place <= before:
            return False
        before = cell.place
    return cells[-1].place is None or cells[-1].place > before


class _Order:
    """Who wrote a name last: as the cells ran, and from the top of the notebook."""

    def __init__(self, cells: Sequence[Execution]) -> None:
        self._cells = cells
        self._changes = [cell.effects.writes - cell.effects.unlikely for cell in cells]
        self._current = {cell.place: position for position, cell in enumerate(cells)}
        self._writers: dict[str, _Writers] = {}

    def writes(self, name: str, position: int) -> bool:
        """Return whether an execution is likely to change a name."""
        changes = self._changes[position]
        is_any = name == ANY and self._cells[position].effects.writes
        return name in changes or ANY in changes or bool(is_any)

    def _writers_of(self, name: str) -> _Writers:
        """Return the executions that write a name, and the current ones by place."""
        if name not in self._writers:
            found = [p for p in range(len(self._cells)) if self.writes(name, p)]
            places = [(self._cells[p].place, p) for p in found]
            current = [(at, p) for at, p in places if at is not None]
            self._writers[name] = (
                found,
                sorted((at, p) for at, p in current if self._current[at] == p),
            )
        return self._writers[name]

    def last_before(self, position: int, name: str) -> int | None:
        """Return the last execution before this one that wrote the name."""
        found = self._writers_of(name)[0]
        number = bisect_left(found, position)
        return found[number - 1] if number else None

    def last_above(self, position: int, name: str) -> int | None:
        """Return the last execution of the last cell above that writes the name."""
        current, place = self._writers_of(name)[1], self._cells[position].place
        number = bisect_left(current, (float("inf") if place is None else place, -1))
        return current[number - 1][1] if number else None

    def was_absent(self, position: int, name: str) -> bool:
        """Return whether the same code came to its end before the name was there."""
        first, code = self._writers_of(name)[0][0], self._cells[position].code
        earlier = self._cells[: first + 1]
        return any(cell.is_whole and cell.code == code for cell in earlier)

    def is_same(self, one: int | None, other: int | None) -> bool:
        """Return whether two executions are of one cell with the source it has now."""
        if one is None or other is None:
            return False
        first, second = self._cells[one], self._cells[other]
        is_there = first.place is not None and not first.is_edited
        return is_there and (first.place, first.code) == (second.place, second.code)
