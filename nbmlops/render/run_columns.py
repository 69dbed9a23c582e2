"""Which columns a table of runs has, and what stands in its cells."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from nbmlops.entities import AskedColumns, Run, RunColumn
from nbmlops.render.tables import clock, number

MOST_COLUMNS = 16
RUN = RunColumn(kind="attributes", name="run")
NAME = RunColumn(kind="attributes", name="name")
STARTED = RunColumn(kind="attributes", name="started")
STATUS = RunColumn(kind="attributes", name="status")
SOURCE = RunColumn(kind="attributes", name="source")


class RunColumns:
    """The columns that tell some runs apart.

    Parameters
    ----------
    runs : sequence of Run
        The rows.
    asked : AskedColumns, optional
        The columns to show. By default status, metrics, params, start and source; of
        these the first 16 that differ between the rows, the start always.
    keep : sequence of RunColumn, default=()
        Columns to show although they do not differ.

    Attributes
    ----------
    shown : tuple of RunColumn
        The columns, ``run`` and ``name`` first.
    same : tuple of (RunColumn, str)
        Columns with one value in all rows, and that value.
    left_out : tuple of RunColumn
        Columns that differ but are too many to show.
    missing : tuple of str
        Names asked for that stand for nothing in any row.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        asked: AskedColumns | None = None,
        *,
        keep: Sequence[RunColumn] = (),
    ) -> None:
        self.same: tuple[tuple[RunColumn, str], ...] = ()
        self.left_out: tuple[RunColumn, ...] = ()
        self.missing: tuple[str, ...] = ()
        if asked is None:
            found = self._choose(runs, keep)
        else:
            found = [
                column for column in asked.columns if any(cell(r, column) for r in runs)
            ]
            present = {column.name for column in found}
            names = dict.fromkeys(column.name for column in asked.columns)
            self.missing = tuple(name for name in names if runs and name not in present)
        first = (RUN, NAME)
        self.shown = (*first, *(column for column in found if column not in first))
        self._names = [column.name for column in self.shown]

    def _choose(
        self, runs: Sequence[Run], keep: Sequence[RunColumn]
    ) -> list[RunColumn]:
        metrics = sorted({name for run in runs for name in run.metrics})
        params = sorted({name for run in runs for name in run.params})
        candidates = [
            STATUS,
            *(RunColumn(kind="metrics", name=name) for name in metrics),
            *(RunColumn(kind="params", name=name) for name in params),
            STARTED,
            SOURCE,
        ]
        differing, same = [], []
        for column in candidates:
            texts = {cell(run, column) for run in runs}
            if len(runs) < 2 or len(texts) > 1 or column in (STARTED, *keep):
                differing.append(column)
            elif texts != {""}:
                same.append((column, texts.pop()))
        self.same = tuple(same)
        first = [column for column in (*keep, STATUS, STARTED) if column in differing]
        rest = [column for column in differing if column not in first]
        chosen = [*first, *rest][:MOST_COLUMNS]
        self.left_out = tuple(column for column in differing if column not in chosen)
        kept = [column for column in keep if column in chosen]
        return [*kept, *(c for c in differing if c in chosen and c not in kept)]

    def title(self, column: RunColumn) -> str:
        """Return a column's title; its kind is said where two share a name."""
        is_twin = self._names.count(column.name) > 1 and column.kind != "attributes"
        return f"{column.kind}.{column.name}" if is_twin else column.name


def cell(run: Run, column: RunColumn) -> str:
    """Return what stands in one cell, as text.

    Parameters
    ----------
    run : Run
        The row.
    column : RunColumn
        The column.

    Returns
    -------
    str
        Empty when the run lacks it.
    """
    match column.kind:
        case "metrics":
            value = run.metrics.get(column.name)
            return "" if value is None else number(value)
        case "params":
            return run.params.get(column.name, "")
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
            return clock(run.started_at)
        case "ended":
            return clock(run.ended_at) if run.ended_at else ""
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
