"""Which executions of cells a run depends on, and whether their order matters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from nbmlops.tracking.dataflow.effects import ANY, WORLD, Effects


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution of a cell, as the order of cells is judged by it.

    Attributes
    ----------
    effects : Effects
        What it read and changed.
    code : str
        What ran.
    place : float or None
        Where the cell stands in the notebook; None when it is there no more.
    """

    effects: Effects
    code: str
    place: float | None


def backward(effects: Sequence[Effects], targets: Collection[int]) -> tuple[int, ...]:
    """Return the executions that the last one, or several, depend on.

    Parameters
    ----------
    effects : sequence of Effects
        Of each execution, in the order in which they ran.
    targets : collection of int
        Positions that are wanted.

    Returns
    -------
    tuple of int
        Positions of the targets, of all that wrote what they read, and of what stays
        because names do not show what it does; ascending.

    Examples
    --------
    >>> def cell(reads, writes):
    ...     return Effects(reads=frozenset(reads), writes=frozenset(writes))
    >>> backward([cell("", "a"), cell("", "b"), cell("a", "c")], {2})
    (0, 2)
    """
    kept: list[int] = []
    needed: set[str] = set()
    for position in range(max(targets, default=-1), -1, -1):
        found = effects[position]
        is_needed = position in targets or found.stays or ANY in needed
        if is_needed or ANY in found.writes or found.writes & needed:
            kept.append(position)
            needed = (needed - found.kills) | found.reads
    return tuple(reversed(kept))


def misplaced(cells: Sequence[Execution], kept: Sequence[int]) -> tuple[int, ...]:
    """Return the executions that make a run from the top of the notebook differ.

    Such a run goes through the cells that have run, each once and as it ran last, in
    the order of the notebook, down to the cell of the run. It gives the run the same
    when, for each name that a needed cell reads, cells of the same code and place have
    written it in the same order. Files and all else that names do not show count as one
    more name, which the run reads; the same cell running the same code twice counts
    once there.

    Parameters
    ----------
    cells : sequence of Execution
        All that ran, in that order.
    kept : sequence of int
        Positions of those that the run depends on; the last is the run's own.

    Returns
    -------
    tuple of int
        Positions; empty when a run from the top would do the same.

    Examples
    --------
    >>> def cell(place, reads, writes, kills=""):
    ...     effects = Effects(
    ...         reads=frozenset(reads), writes=frozenset(writes), kills=frozenset(kills)
    ...     )
    ...     return Execution(effects=effects, code=f"{writes} = {reads}", place=place)
    >>> one, two, use = cell(1, "", "x", "x"), cell(3, "", "x", "x"), cell(2, "x", "y")
    >>> misplaced([one, use], [0, 1])
    ()
    >>> misplaced([one, two, use], [1, 2])
    (0, 1)
    """
    target = kept[-1]
    end = cells[target].place
    last: dict[float, int] = {}
    for position, cell in enumerate(cells[: target + 1]):
        if cell.place is not None and (end is None or cell.place <= end):
            last[cell.place] = position
    above = [last[place] for place in sorted(last)]
    if end is None:  # the run's own cell comes after all others
        above.append(target)
    rank = {_key(cells[position]): number for number, position in enumerate(above)}
    every = frozenset().union(*(cell.effects.writes for cell in cells[: target + 1]))
    found: set[int] = set()
    for position in kept:
        number = rank.get(_key(cells[position]))
        if number is None:
            continue  # a cell that reads what it wrote tells
        reads = cells[position].effects.reads
        reads = every if ANY in reads else reads & every
        for name in {*reads, WORLD} if position == target else reads:
            as_run = _writers(cells, range(position), name)
            from_top = _writers(cells, above[:number], name)
            if as_run.keys() != from_top.keys():
                odd = as_run.keys() ^ from_top.keys()
                found |= {p for k, p in (as_run | from_top).items() if k in odd}
            else:
                pairs = zip(as_run.items(), from_top, strict=True)
                found |= {p for (key, p), other in pairs if key != other}
    return tuple(sorted(found))


_Key = tuple[float | None, str, int]


def _key(cell: Execution, n_times: int = 0) -> _Key:
    return cell.place, cell.code, n_times


def _writers(
    cells: Sequence[Execution], order: Sequence[int], name: str
) -> dict[_Key, int]:
    """Return who may have written what a name stands for, the last one first."""
    found: dict[_Key, int] = {}
    for position in reversed(order):
        cell = cells[position]
        if name not in cell.effects.writes and ANY not in cell.effects.writes:
            continue
        n_times = 0
        while name != WORLD and _key(cell, n_times) in found:
            n_times += 1
        found.setdefault(_key(cell, n_times), position)
        if name in cell.effects.kills:
            break
    return found
