"""Which executions of cells a run depends on, and whether their order matters."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from nbmlops.tracking.provenance.dataflow.effects import ANY, Effects


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

    >>> def cell(reads, writes):
    ...     return Effects(reads=frozenset(reads), writes=frozenset(writes))
    >>> backward([cell("", "a"), cell("", "b"), cell("a", "c")], {2})
    (0, 2)
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
    when each name that they depend on had, as its last writer, the cell that stands
    last above it in the notebook among those that ran, with the source that stands
    there now.

    >>> def cell(place, reads, writes):
    ...     effects = Effects(
    ...         reads=frozenset(reads), writes=frozenset(writes),
    ...         defines=frozenset(writes),
    ...     )
    ...     return Execution(effects=effects, code=f"{writes} = {reads}", place=place)
    >>> one, two, use = cell(1, "", "x"), cell(3, "", "x"), cell(2, "x", "y")
    >>> out_of_order([one, use], {1})
    ()
    >>> out_of_order([one, two, use], {2})
    (0, 1)
    """
    if _is_plain(cells, targets):
        return ()
    writers = _Writers(cells)
    found: set[int] = set()
    seen: set[tuple[int, str]] = set()
    # A cell reads a name, or leaves what was in it when it does not bind it.
    waiting = [(t, name, True) for t in targets for name in cells[t].effects.reads]
    while waiting:
        position, name, is_read = waiting.pop()
        if (position, name) in seen:
            continue
        seen.add((position, name))
        if name[0] == "<" and name in cells[position].effects.unlikely:
            continue  # it hardly draws random numbers
        as_run = writers.before(position, name)
        from_top = writers.above(position, name)
        if from_top is None and (not is_read or as_run is None):
            continue
        if from_top is None and writers.was_absent(position, name):
            continue
        if as_run is None or from_top is None or not _is_same(cells, as_run, from_top):
            is_itself = as_run is not None and _is_at(cells, as_run, position)
            found |= {
                p for p in (as_run, None if is_itself else from_top) if p is not None
            }
            continue
        writer = cells[as_run].effects
        waiting += [(as_run, each, True) for each in writer.reads]
        if name not in writer.defines | writer.reads:
            waiting.append((as_run, name, False))
    return tuple(sorted(found))


def _is_plain(cells: Sequence[Execution], targets: Collection[int]) -> bool:
    """Return whether all cells above ran just now, in order, and need none below."""
    start = len(cells) - 1
    while start and _at(cells[start - 1]) < _at(cells[start]):
        start -= 1
    if start > min(targets) or any(
        cell.is_edited or cell.place is None for cell in cells[start:-1]
    ):
        return False
    before, now = cells[:start], cells[start:]
    places = {cell.place for cell in now}
    if any(_at(c) < _at(now[-1]) and c.place not in places for c in before):
        return False
    earlier = frozenset().union(*(cell.effects.writes for cell in before))
    written: set[str] = set()
    for cell in now if earlier else ():
        unwritten = cell.effects.reads - written
        if ANY in earlier or ANY in unwritten or unwritten & earlier:
            return False
        written |= cell.effects.writes
    return True


def _at(cell: Execution) -> float:
    return float("inf") if cell.place is None else cell.place


def _is_at(cells: Sequence[Execution], one: int, other: int) -> bool:
    return cells[one].place == cells[other].place


def _is_same(cells: Sequence[Execution], one: int, other: int) -> bool:
    """Return whether two executions are of one cell with the source it has now."""
    is_there = cells[one].place is not None and not cells[one].is_edited
    return (
        is_there and _is_at(cells, one, other) and cells[one].code == cells[other].code
    )


class _Writers:
    """Who wrote a name: as the cells ran, and as they stand in the notebook."""

    def __init__(self, cells: Sequence[Execution]) -> None:
        self._cells = cells
        self._by_name: dict[str, list[int]] = defaultdict(list)
        self._first_end: dict[str, int] = {}
        self._last = {cell.place: position for position, cell in enumerate(cells)}
        self._above: dict[str, tuple[list[float], list[int]]] = {}
        for position, cell in enumerate(cells):
            effects = cell.effects
            for name in effects.writes - effects.unlikely:
                self._by_name[name].append(position)
            if cell.is_whole:
                self._first_end.setdefault(cell.code, position)

    @cached_property
    def _all(self) -> list[int]:
        return [p for p, cell in enumerate(self._cells) if cell.effects.writes]

    def _positions(self, name: str) -> list[int]:
        if name == ANY:
            return self._all
        anything = self._by_name.get(ANY, [])
        own = self._by_name.get(name, [])
        return sorted({*own, *anything}) if anything else own

    def before(self, position: int, name: str) -> int | None:
        """Return the last execution before this one that wrote the name."""
        found = self._positions(name)
        number = bisect_left(found, position)
        return found[number - 1] if number else None

    def above(self, position: int, name: str) -> int | None:
        """Return the last execution of the last cell above that writes the name."""
        if name not in self._above:
            latest = [
                (place, p)
                for p in self._positions(name)
                if (place := self._cells[p].place) is not None
                and self._last[place] == p
            ]
            latest.sort()
            self._above[name] = [a for a, _ in latest], [p for _, p in latest]
        places, positions = self._above[name]
        place = self._cells[position].place
        number = len(places) if place is None else bisect_left(places, place)
        return positions[number - 1] if number else None

    def was_absent(self, position: int, name: str) -> bool:
        """Return whether the same code came to its end before the name was there."""
        first = self._positions(name)[0]
        return self._first_end.get(self._cells[position].code, first + 1) <= first
