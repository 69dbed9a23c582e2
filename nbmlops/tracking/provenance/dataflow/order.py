"""Which executions of cells a run depends on, and whether their order matters."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

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
        if from_top is None and (
            not is_read or as_run is None or writers.was_absent(position, name)
        ):
            continue
        if as_run is None or from_top is None or not _is_same(cells, as_run, from_top):
            if as_run is not None:
                found.add(as_run)
            if from_top is not None and not (
                as_run is not None and cells[as_run].place == cells[position].place
            ):
                found.add(from_top)
            continue
        writer = cells[as_run].effects
        waiting += [(as_run, each, True) for each in writer.reads]
        if name not in writer.defines | writer.reads:
            waiting.append((as_run, name, False))
    return tuple(sorted(found))


def _is_plain(cells: Sequence[Execution], targets: Collection[int]) -> bool:
    """Return whether all cells above ran just now, in order, and need none below."""
    at = [float("inf") if cell.place is None else cell.place for cell in cells]
    start = len(cells) - 1
    while start and at[start - 1] < at[start]:
        start -= 1
    if (
        start > min(targets)
        or any(cell.is_edited or cell.place is None for cell in cells[start:-1])
        or any(place < at[-1] for place in set(at[:start]).difference(at[start:]))
    ):
        return False
    earlier = frozenset().union(*(cell.effects.writes for cell in cells[:start]))
    written: set[str] = set()
    for cell in cells[start:] if earlier else ():
        unwritten = cell.effects.reads - written
        if ANY in earlier | unwritten or unwritten & earlier:
            return False
        written |= cell.effects.writes
    return True


def _is_same(cells: Sequence[Execution], one: int, other: int) -> bool:
    """Return whether two executions are of one cell with the source it has now."""
    first, second = cells[one], cells[other]
    is_there = first.place is not None and not first.is_edited
    return is_there and (first.place, first.code) == (second.place, second.code)


class _Writers:
    """Who wrote a name: as the cells ran, and as they stand in the notebook."""

    def __init__(self, cells: Sequence[Execution]) -> None:
        self._cells = cells
        self._by_name: dict[str, list[int]] = defaultdict(list)
        self._first_end: dict[str, int] = {}
        self._last = {cell.place: position for position, cell in enumerate(cells)}
        self._found: dict[str, tuple[list[int], list[tuple[float, int]]]] = {}
        for position, cell in enumerate(cells):
            for name in cell.effects.writes - cell.effects.unlikely:
                self._by_name[name].append(position)
            if cell.is_whole:
                self._first_end.setdefault(cell.code, position)

    def _writers(self, name: str) -> tuple[list[int], list[tuple[float, int]]]:
        """Return who wrote a name, as they ran and as they stand."""
        if name not in self._found:
            if name == ANY:
                found = [p for p, c in enumerate(self._cells) if c.effects.writes]
            else:
                found = sorted({*self._by_name[name], *self._by_name[ANY]})
            places = [(self._cells[p].place, p) for p in found]
            standing = [
                (at, p) for at, p in places if at is not None and self._last[at] == p
            ]
            self._found[name] = found, sorted(standing)
        return self._found[name]

    def before(self, position: int, name: str) -> int | None:
        """Return the last execution before this one that wrote the name."""
        found = self._writers(name)[0]
        number = bisect_left(found, position)
        return found[number - 1] if number else None

    def above(self, position: int, name: str) -> int | None:
        """Return the last execution of the last cell above that writes the name."""
        standing, place = self._writers(name)[1], self._cells[position].place
        number = bisect_left(standing, (float("inf") if place is None else place, -1))
        return standing[number - 1][1] if number else None

    def was_absent(self, position: int, name: str) -> bool:
        """Return whether the same code came to its end before the name was there."""
        first = self._writers(name)[0][0]
        return self._first_end.get(self._cells[position].code, first + 1) <= first
