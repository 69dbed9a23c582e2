"""Pipelines: what a run would do, what it did, and the graph of their steps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from nbmlops.entities import CacheEntry, PipelineReport, PipelineSpec, PlannedStep, Step
from nbmlops.render.formats import format_time, truncate
from nbmlops.render.tables import Renderable, Table
from nbmlops.render.templates import render_html

_BOX, _HEIGHT, _GAP_X, _GAP_Y = 150, 40, 50, 18
_DIGITS, _WIDEST = 8, 100
_RUN_ID = re.compile(r"\b[0-9a-f]{32}\b")


class PlanView(Table):
    """What a run of a pipeline would do.

    Parameters
    ----------
    name : str
        The pipeline.
    steps : sequence of PlannedStep
        What a run would do with each.

    Attributes
    ----------
    steps : tuple of PlannedStep
        As given.
    """

    def __init__(self, name: str, steps: Sequence[PlannedStep]) -> None:
        self.steps = tuple(steps)
        words = {"cached": "cached", "run": "will run", "open": "may run"}
        whys = [(step, _line(step.why)) for step in steps]
        cut = [step for step, why in whys if len(why) > _WIDEST]
        super().__init__(
            ["step", "state", "why"],
            [(s.step, words[s.state], truncate(why, _WIDEST)) for s, why in whys],
            empty=f"Pipeline {name!r} has no steps.",
            notes=[
                *(f"{step.step}: {' '.join(step.why.split())}" for step in cut),
                *(["nothing to run"] * all(s.state == "cached" for s in steps)),
            ],
        )


class ReportView(Table):
    """How the steps of a pipeline run ended."""

    def __init__(self, report: PipelineReport, *notes: str) -> None:
        self.report = report
        rows = [
            (
                f"{each.step}{' *' if _is_selected(report, each.step) else ''}",
                each.state,
                f"{each.duration_s:.1f} s" if each.duration_s else "",
                (each.run_id or "")[:_DIGITS],
                truncate(_line(each.why), _WIDEST),
            )
            for each in report.steps
        ]
        head = (
            f"{report.pipeline}: {report.status} in {report.duration_s:.1f} s"
            f"{run_note(report.run_id)}"
        )
        super().__init__(
            ["step", "state", "took", "run", "why"],
            rows,
            empty=head,
            notes=[head, *notes, *report.notes],
        )


class StatusView(ReportView):
    """The last run of a pipeline."""

    def __init__(self, report: PipelineReport, started_at: datetime) -> None:
        super().__init__(report, f"began {format_time(started_at)}")


def _is_selected(report: PipelineReport, name: str) -> bool:
    step = name.partition("[")[0]
    runs = [each for each in report.steps if each.step.partition("[")[0] == step]
    return len({each.is_selected for each in runs}) > 1 and any(
        each.is_selected for each in runs if each.step == name
    )


def _line(text: str) -> str:
    """Return a reason in one line, with run ids as short as in the table's column."""
    return _RUN_ID.sub(lambda found: found[0][:_DIGITS], " ".join(text.split()))


class Graph(Renderable):
    """The steps of a pipeline and what they need."""

    def __init__(self, spec: PipelineSpec) -> None:
        self._spec = spec
        self.cells: dict[str, tuple[int, int]] = {}
        """The column and the row of each step, from 0."""
        rows: Counter[int] = Counter()
        for step in spec.steps:  # each behind those it needs
            column = max((self.cells[name][0] for name in step.needs), default=-1) + 1
            self.cells[step.name] = column, rows[column]
            rows[column] += 1

    def __repr__(self) -> str:
        lines = [f"{self._spec.name}"]
        for step in self._spec.steps:
            needs = f"  <- {', '.join(step.needs)}" if step.needs else ""
            indent = "  " * (self.cells[step.name][0] + 1)
            lines.append(f"{indent}{_title(step)} ({step.does}){needs}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self._repr_svg_()}</div>'

    def _repr_svg_(self) -> str:
        at = {
            name: (column * (_BOX + _GAP_X) + 1, row * (_HEIGHT + _GAP_Y) + 1)
            for name, (column, row) in self.cells.items()
        }
        half = _HEIGHT // 2
        return render_html(
            "pipeline.svg",
            name=self._spec.name,
            width=max((x for x, _ in at.values()), default=1) + _BOX + 1,
            height=max((y for _, y in at.values()), default=1) + _HEIGHT + 1,
            half=_GAP_X // 2,
            box=_BOX,
            box_height=_HEIGHT,
            lines=[
                (at[name][0] + _BOX, at[name][1] + half, x, y + half)
                for step in self._spec.steps
                for x, y in [at[step.name]]
                for name in step.needs
            ],
            boxes=[
                (*at[each.name], _title(each), each.does) for each in self._spec.steps
            ],
        )


def run_note(run_id: str) -> str:
    """Return a run's id, to follow a line; nothing while it is a journal's key."""
    return f", run {run_id[:_DIGITS]}" if _RUN_ID.fullmatch(run_id) else ""


def _title(step: Step) -> str:
    return f"{step.name} x{step.n_runs}" if step.grid else step.name


def cache_table(entries: Sequence[CacheEntry]) -> Table:
    """Return the results that are kept as a table, the newest first."""
    ordered = sorted(entries, key=lambda each: each.made_at, reverse=True)
    rows = [
        (
            each.pipeline,
            each.step,
            each.run_id[:_DIGITS],
            format_time(datetime.fromtimestamp(each.made_at).astimezone()),
            f"{each.size_bytes:,}",
            each.key[:12],
        )
        for each in ordered
    ]
    return Table(
        ["pipeline", "step", "run", "made", "bytes", "key"],
        rows,
        empty="No results are kept.",
    )
