"""The columns of a table of runs, and the values of its cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from nbmlops.entities import (
    KIND,
    AskedColumns,
    ColumnKind,
    Run,
    RunColumn,
    full_names,
    param_of,
    short_names,
)
from nbmlops.render.formats import WIDEST, format_duration, format_number, format_time

MOST_COLUMNS = 16
RUN = RunColumn(kind="attributes", name="run")
NAME = RunColumn(kind="attributes", name="name")
STARTED = RunColumn(kind="attributes", name="started")
STATUS = RunColumn(kind="attributes", name="status")
SOURCE = RunColumn(kind="attributes", name="source")

HTML_WIDTH = 108
"""Characters that a notebook's cell has room for."""

_FIELDS = {"run": "run_id", "model": "model_id", "started": "started_at",
           "ended": "ended_at"}  # fmt: skip
_FEW = 3  # columns of a kind that come before the others of another


class RunColumns:
    """The columns in which some runs differ."""

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
        """Return a column's title; with its kind where two share a name."""
        is_twin = self._names.count(column.name) > 1 and column.kind != "attributes"
        return f"{column.kind}.{column.name}" if is_twin else column.name

    def _width(self, column: RunColumn, text: Callable[[Run, RunColumn], str]) -> int:
        cells = (text(run, column) for run in self._runs)
        longest = max(map(len, chain(cells, [self.title(column)])))
        return min(longest, WIDEST) + 2

    def _choose(
        self, runs: Sequence[Run], keep: Sequence[RunColumn], *, all_params: bool
    ) -> list[RunColumn]:
        metrics, params = _metrics(runs), _params(runs, all_params=all_params)
        candidates = [STATUS, *chain(*metrics), *chain(*params), STARTED, SOURCE]
        differing, same = [], []
        for column in candidates:
            texts = {cell(run, column) for run in runs}
            if len(runs) < 2 or len(texts) > 1 or column in (STARTED, *keep):
                differing.append(column)
            elif texts != {""} and (all_params or column not in params[1]):
                same.append((column, texts.pop()))
        self.same = tuple(same)
        shown = {
            full
            for column in (*differing, *(column for column, _ in same))
            if column.kind == "params"
            for full in self.sources(column)
        }
        self.n_quiet = len({name for run in runs for name in run.params} - shown)
        # What comes first has its place, also where the table is narrow.
        groups = [
            [column for column in group if column in differing]
            for group in (metrics[0], params[0], metrics[1], params[1])
        ]
        few = chain(*(group[:_FEW] for group in groups))
        others = chain(*(group[_FEW:] for group in groups))
        by_rank = [*keep, STATUS, STARTED, *few, *others, SOURCE]
        self._order = tuple(dict.fromkeys(c for c in by_rank if c in differing))
        kept = [column for column in keep if column in differing]
        return [*kept, *(column for column in differing if column not in kept)]


Columns = tuple[list[RunColumn], list[RunColumn]]
"""Those that the user named, and those that autolog recorded."""


def _columns(kind: ColumnKind, named: list[str], recorded: list[str]) -> Columns:
    first, others = (
        [RunColumn(kind=kind, name=name) for name in names]
        for names in (named, recorded)
    )
    return first, others


def _metrics(runs: Sequence[Run]) -> Columns:
    recorded = {name for run in runs for name in run.autologged.metrics}
    names = {name for run in runs for name in run.metrics}
    return _columns("metrics", sorted(names - recorded), sorted(names & recorded))


def _params(runs: Sequence[Run], *, all_params: bool) -> Columns:
    named: set[str] = set()
    recorded: set[str] = set()
    unknown: dict[str, set[str]] = {}  # of which no default is known
    for run in runs:
        found = run.autologged
        quiet = {*found.default, *found.unknown}
        named |= run.params.keys() - found.changed.keys() - quiet
        recorded |= set(found.changed.values())
        if all_params:
            short = short_names(run.params)
            recorded |= {short[name] for name in quiet}
        for name in found.unknown:
            unknown.setdefault(name, set()).add(run.params[name])
    recorded |= {n for n, texts in unknown.items() if len(texts) > 1 or len(runs) < 2}
    others = sorted(recorded - named, key=lambda name: (name != KIND, name))
    return _columns("params", sorted(named), others)


def value_of(run: Run, column: RunColumn) -> Any:  # noqa: ANN401 - a cell's
    """Return the value of one cell; None where the run has none."""
    if column.kind == "params":
        return param_of(run.params, column.name)
    if column.kind != "attributes":
        return getattr(run, column.kind).get(column.name)
    if column.name == "duration":
        return run.ended_at and run.ended_at - run.started_at
    return getattr(run, _FIELDS.get(column.name, column.name))


def cell(run: Run, column: RunColumn) -> str:
    """Return the value of one cell as text."""
    match value_of(run, column):
        case str() as text:
            return text[:8] if column == RUN else text
        case float() | int() as value:
            return format_number(value)
        case datetime() as moment:
            return format_time(moment)
        case timedelta() as time:
            return format_duration(time.total_seconds())
    if column.name == "duration" and column.kind == "attributes":  # it still runs
        return format_duration((datetime.now(UTC) - run.started_at).total_seconds())
    return ""
