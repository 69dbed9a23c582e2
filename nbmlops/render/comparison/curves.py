"""The curves of a comparison: a picture a metric, a line a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nbmlops.entities import MetricDifference
from nbmlops.render.comparison.sections import LETTERS, shortened
from nbmlops.render.svg import Scale, image

_WIDTH, _HEIGHT = 182, 62
# Of middling lightness, visible on white and on black; dashes help where colours do
# not.
_COLOURS = (
    *("#1e88e5", "#f4511e", "#43a047", "#8e24aa"),
    *("#00897b", "#c0932b", "#d81b60", "#757575"),
)
_DASHES = ("", "5 2", "2 2", "7 2 2 2", "1 2", "9 3", "4 4", "1 4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The curves of one metric."""

    name: str
    image: str
    low: float
    high: float
    axis: str


def legend_key(index: int) -> str:
    """Return the stroke of a run, as it is in the curves."""
    svg = f'<svg viewBox="0 0 26 8"><path d="M0 4H26" {_stroke(index)}/></svg>'
    return image(svg, alt="", width=26, height=8, style="vertical-align:middle")


def stepped(metrics: Sequence[MetricDifference]) -> list[MetricDifference]:
    """Return the metrics that have a curve."""
    return [m for m in metrics if any(len(h.points) > 1 for h in m.histories if h)]


def figure(metric: MetricDifference) -> Figure | None:
    """Return the curves of a metric; None where no value is finite."""
    curves = {i: h.points for i, h in enumerate(metric.histories) if h}
    values = [v for points in curves.values() for _, v in points if math.isfinite(v)]
    if not values:
        return None
    steps = {step for points in curves.values() for step, _ in points}
    axis = f"steps {min(steps):,} to {max(steps):,}"
    if len(steps) == 1:  # logged without steps: one after the other
        curves = {
            i: tuple((n, v) for n, (_, v) in enumerate(points))
            for i, points in curves.items()
        }
        steps = {n for points in curves.values() for n, _ in points}
        axis = "one value after the other"
    low, high = min(values), max(values)
    place = Scale((min(steps), max(steps)), (low, high), _WIDTH, _HEIGHT, edge=1)
    lines = "".join(
        f"<g {_stroke(index)}>{place.polylines(points)}</g>"
        for index, points in curves.items()
    )
    edge, name = "1px solid var(--jp-border-color1,#999)", shortened(metric.name)
    picture = image(
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}">{lines}</svg>',
        alt=f"{name} of {', '.join(LETTERS[i] for i in curves)}, {axis}",
        width=_WIDTH,
        height=_HEIGHT,
        style=f"margin:0;border-left:{edge};border-bottom:{edge}",
    )
    return Figure(name=name, image=picture, low=low, high=high, axis=axis)


def _stroke(index: int) -> str:
    dashes = f' stroke-dasharray="{_DASHES[index]}"' if _DASHES[index] else ""
    colour = f'fill="none" stroke="{_COLOURS[index]}" stroke-width="1.6"'
    return f'{colour} stroke-linecap="round"{dashes}'
