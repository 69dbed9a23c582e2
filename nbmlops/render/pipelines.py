"""Pipelines: what a run would do, what it did, and the graph of their steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

from nbmlops.entities import CacheEntry, PipelineReport, PipelineSpec, PlannedStep, Step
from nbmlops.render.formats import format_time
from nbmlops.render.tables import Renderable, Table

_BOX, _HEIGHT, _GAP_X, _GAP_Y = 150, 40, 50, 18
_DIGITS = 8


class PlanView(Table):
    """What a run of a pipeline would do.

    Parameters
    ----------
    name : str
        The pipeline.
    steps : sequence of PlannedStep
        What would become of each.

    Attributes
    ----------
    steps : tuple of PlannedStep
        As given.
    """

    def __init__(self, name: str, steps: Sequence[PlannedStep]) -> None:
        self.steps = tuple(steps)
        words = {"cached": "cached", "run": "will run", "open": "may run"}
        n = sum(step.state != "cached" for step in steps)
        cut = [step for step in steps if _short(step.why).endswith("...")]
        super().__init__(
            ["step", "state", "why"],
            [(step.step, words[step.state], _short(step.why)) for step in steps],
            empty=f"Pipeline {name!r} has no steps.",
            notes=[
                *(f"{step.step}: {' '.join(step.why.split())}" for step in cut),
                *([] if n else ["nothing to run"]),
            ],
        )


class ReportView(Table):
    """What became of the steps of a pipeline run."""

    def __init__(self, report: PipelineReport, *notes: str) -> None:
        self.report = report
        rows = [
            (
                f"{each.step}{' *' if _is_picked(report, each.step) else ''}",
                each.state,
                f"{each.duration_s:.1f} s" if each.duration_s else "",
                (each.run_id or "")[:_DIGITS],
                _short(each.why),
            )
            for each in report.steps
        ]
        head = (
            f"{report.pipeline}: {report.status} in {report.duration_s:.1f} s, "
            f"run {report.run_id[:_DIGITS]}"
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


def _is_picked(report: PipelineReport, name: str) -> bool:
    step = name.partition("[")[0]
    units = [each for each in report.steps if each.step.partition("[")[0] == step]
    return len({each.is_selected for each in units}) > 1 and any(
        each.is_selected for each in units if each.step == name
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:97]}..."


def lay_out(spec: PipelineSpec) -> dict[str, tuple[int, int]]:
    """Return the column and the row of each step, from 0."""
    cells: dict[str, tuple[int, int]] = {}
    rows: dict[int, int] = {}
    for step in spec.steps:  # each behind those it needs
        column = max((cells[name][0] for name in step.needs), default=-1) + 1
        cells[step.name] = column, rows.get(column, 0)
        rows[column] = rows.get(column, 0) + 1
    return cells


def _axes(cells: Mapping[str, tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [cell[0] for cell in cells.values()], [cell[1] for cell in cells.values()]


class Graph(Renderable):
    """The steps of a pipeline and what they need."""

    def __init__(self, spec: PipelineSpec) -> None:
        self._spec = spec
        self.cells = lay_out(spec)

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
        places = {
            name: (column * (_BOX + _GAP_X) + 1, row * (_HEIGHT + _GAP_Y) + 1)
            for name, (column, row) in self.cells.items()
        }
        n_columns, n_rows = (max(each, default=0) + 1 for each in _axes(self.cells))
        width = n_columns * (_BOX + _GAP_X) - _GAP_X + 2
        height = n_rows * (_HEIGHT + _GAP_Y) - _GAP_Y + 2
        lines = [
            _line(places[name], places[step.name])
            for step in self._spec.steps
            for name in step.needs
        ]
        boxes = [_box(step, places[step.name]) for step in self._spec.steps]
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" role="img" '
            f'aria-label="{escape(f"steps of {self._spec.name}")}" width="{width}" '
            f'height="{height}" fill="none" stroke="currentColor" font-size="12" '
            f'font-family="var(--jp-ui-font-family,sans-serif)">{"".join(lines)}'
            f"{''.join(boxes)}</svg>"
        )


def _title(step: Step) -> str:
    return f"{step.name} x{step.n_runs}" if step.grid else step.name


def _line(start: tuple[int, int], end: tuple[int, int]) -> str:
    x, y = start[0] + _BOX, start[1] + _HEIGHT // 2
    to_x, to_y = end[0], end[1] + _HEIGHT // 2
    half = _GAP_X // 2
    return (
        f'<path d="M{x},{y} C{x + half},{y} {to_x - half},{to_y} {to_x - 5},{to_y} '
        f'm-4,-4 l5,4 l-5,4" opacity="0.6"/>'
    )


def _box(step: Step, place: tuple[int, int]) -> str:
    x, y = place
    middle = x + _BOX // 2

    def text(down: int, words: str, extra: str) -> str:
        shown = words if len(words) <= 22 else f"{words[:21]}…"
        return (
            f'<text x="{middle}" y="{y + down}" text-anchor="middle" '
            f'fill="currentColor" stroke="none"{extra}>{escape(shown)}</text>'
        )

    return (
        f"<g><title>{escape(f'{_title(step)}: {step.does}')}</title>"
        f'<rect x="{x}" y="{y}" width="{_BOX}" height="{_HEIGHT}" rx="5"/>'
        + text(17, _title(step), ' font-weight="600"')
        + text(32, step.does, ' opacity="0.7"')
        + "</g>"
    )


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
