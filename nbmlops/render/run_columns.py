"""Which columns a table of runs has, and what stands in its cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain

from nbmlops.entities import (
    KIND,
    AskedColumns,
    Run,
    RunColumn,
    full_names,
    param_of,
    short_names,
)
from nbmlops.render.formats import WIDEST, format_number, format_time

MOST_COLUMNS = 16
RUN = RunColumn(kind="attributes", name="run")
NAME = RunColumn(kind="attributes", name="name")
STARTED = RunColumn(kind="attributes", name="started")
STATUS = RunColumn(kind="attributes", name="status")
SOURCE = RunColumn(kind="attributes", name="source")

HTML_WIDTH = 108
"""Characters that a notebook's cell has room for."""

_FEW = 3  # columns of a kind that come before the others of another


class RunColumns:
    """The columns that tell some runs apart."""

    def __init__(
        self,
        runs: Sequence[Run],
        asked: AskedColumns | None = None,
        *,
        keep: Sequence[RunColumn] = (),
        all_params: bool = False,
    ) -> None:
        self.same: tuple[tuple[RunColumn, str], ...] = ()
        self.missing: tuple[str, ...] = ()
        self.n_quiet = 0
        self.is_asked = asked is not None or all_params
        self._runs = runs
        self._order: tuple[RunColumn, ...] = ()
        if asked is None:
            found = self._choose(runs, keep, all_params=all_params)
        else:
            found = [
                column for column in asked.columns if any(cell(r, column) for r in runs)
            ]
            present = {column.name for column in found}
            names = dict.fromkeys(column.name for column in asked.columns)
            self.missing = tuple(name for name in names if runs and name not in present)
        first = (RUN, NAME)
        self.wanted = (*first, *(column for column in found if column not in first))
        self._names = [column.name for column in self.wanted]
        self.shown = self.fitting(HTML_WIDTH, cell)

    def fitting(
        self, width: int, text: Callable[[Run, RunColumn], str]
    ) -> tuple[RunColumn, ...]:
        """Return the columns that fit a width; all of them if they were asked for."""
        if self.is_asked:
            return self.wanted
        chosen = {RUN, NAME}
        left = width - self._width(RUN, text) - self._width(NAME, text)
        for column in self._order:
            needed = self._width(column, text)
            if needed <= left and len(chosen) < MOST_COLUMNS + 2:
                chosen.add(column)
                left -= needed
        return tuple(column for column in self.wanted if column in chosen)

    def left_out(self, shown: Sequence[RunColumn]) -> list[RunColumn]:
        """Return the columns that differ and are not among those shown."""
        return [column for column in self.wanted if column not in shown]

    def sources(self, column: RunColumn) -> set[str]:
        """Return the whole names of the params that a column shows."""
        return {
            full for run in self._runs for full in full_names(run.params, column.name)
        }

    def title(self, column: RunColumn) -> str:
        """Return a column's title; its kind is said where two share a name."""
        is_twin = self._names.count(column.name) > 1 and column.kind != "attributes"
        return f"{column.kind}.{column.name}" if is_twin else column.name

    def _width(self, column: RunColumn, text: Callable[[Run, RunColumn], str]) -> int:
        cells = (text(run, column) for run in self._runs)
        longest = max(map(len, chain(cells, [self.title(column)])))
        return min(longest, WIDEST) + 2

    def _choose(
        self, runs: Sequence[Run], keep: Sequence[RunColumn], *, all_params: bool
    ) -> list[RunColumn]:
        metrics = _columns("metrics", _metrics(runs))
        params = _columns("params", _params(runs, all_params=all_params))
        candidates = [STATUS, *chain(*metrics), *chain(*params), STARTED, SOURCE]
        differing, same = [], []
        for column in candidates:
            texts = {cell(run, column) for run in runs}
            if len(runs) < 2 or len(texts) > 1 or column in (STARTED, *keep):
                differing.append(column)
            elif texts != {""} and (all_params or column not in params[1]):
                same.append((column, texts.pop()))
        self.same = tuple(same)
        seen = [*differing, *(column for column, _ in same)]
        told = {
            full
            for column in seen
            if column.kind == "params"
            for full in self.sources(column)
        }
        self.n_quiet = len({name for run in runs for name in run.params} - told)
        # What comes first has its place, also where the table is narrow.
        groups = [
            [column for column in group if column in differing]
            for group in (metrics[0], params[0], metrics[1], params[1])
        ]
        by_rank = [
            *keep,
            STATUS,
            STARTED,
            *groups[0][:_FEW],
            *groups[1][:_FEW],
            *groups[2][:_FEW],
            *groups[3][:_FEW],
            *chain(*(group[_FEW:] for group in groups)),
            SOURCE,
        ]
        self._order = tuple(dict.fromkeys(c for c in by_rank if c in differing))
        kept = [column for column in keep if column in differing]
        return [*kept, *(column for column in differing if column not in kept)]


def _columns(
    kind: str, names: tuple[list[str], list[str]]
) -> tuple[list[RunColumn], list[RunColumn]]:
    named, recorded = (
        [RunColumn(kind=kind, name=name) for name in group]  # type: ignore[arg-type]
        for group in names
    )
    return named, recorded


def _metrics(runs: Sequence[Run]) -> tuple[list[str], list[str]]:
    """Return the metrics that the user named, and the others."""
    recorded = {name for run in runs for name in run.autologged.metrics}
    names = {name for run in runs for name in run.metrics}
    return sorted(names - recorded), sorted(names & recorded)


def _params(runs: Sequence[Run], *, all_params: bool) -> tuple[list[str], list[str]]:
    """Return the params that the user named, and those that autolog has to tell."""
    named: set[str] = set()
    changed: set[str] = set()
    for run in runs:
        told = run.autologged
        quiet = {*told.default, *told.unknown}
        named |= run.params.keys() - told.changed.keys() - quiet
        changed |= set(told.changed.values())
        if all_params:
            short = short_names(run.params)
            changed |= {short[name] for name in quiet}
    recorded = (changed | set(_of_older_versions(runs))) - named
    return sorted(named), sorted(recorded, key=lambda name: (name != KIND, name))


def _of_older_versions(runs: Sequence[Run]) -> Iterator[str]:
    """Yield params of which no default is known, and that two runs have otherwise."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for name in run.autologged.unknown:
            values.setdefault(name, set()).add(run.params[name])
    return (name for name, texts in values.items() if len(texts) > 1 or len(runs) < 2)


def cell(run: Run, column: RunColumn) -> str:
    """Return what stands in one cell, as text."""
    match column.kind:
        case "metrics":
            value = run.metrics.get(column.name)
            return "" if value is None else format_number(value)
        case "params":
            return param_of(run.params, column.name) or ""
        case "tags":
            return run.tags.get(column.name, "")
    return _attribute(run, column.name)


def _attribute(run: Run, name: str) -> str:
    match name:
        case "run":
            return run.run_id[:8]
        case "name":
            return run.name
        case "status":
            return run.status
        case "started":
            return format_time(run.started_at)
        case "ended":
            return format_time(run.ended_at) if run.ended_at else ""
        case "duration":
            return _lasted((run.ended_at or datetime.now(UTC)) - run.started_at)
        case "source":
            return run.source or ""
        case "experiment":
            return run.experiment
    return run.model_id or ""


def _lasted(time: timedelta) -> str:
    seconds = time.total_seconds()
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
