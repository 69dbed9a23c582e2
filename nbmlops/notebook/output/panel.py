"""What is shown of a run while its cell runs, and what stays of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from nbmlops.entities import RunStatus
from nbmlops.render.formats import format_duration, format_number, truncate
from nbmlops.render.svg import MOST_POINTS, image, sparkline
from nbmlops.render.templates import render_html
from nbmlops.tracking.run.curves import Points, thinned

MAX_METRICS = 24
"""Most metrics shown, the first to come."""

_MAX_PARAMS = 30
_MAX_CURVES = 12
_MAX_NAME = 32
_MAX_VALUE = 48
_WIDTH, _HEIGHT = 140, 32
_COLOR = "#1e88e5"  # stands out from white and from black
_COLORS = {
    "RUNNING": "var(--jp-info-color1,#1976d2)",
    "FINISHED": "var(--jp-success-color1,#388e3c)",
    "FAILED": "var(--jp-error-color1,#d32f2f)",
    "KILLED": "var(--jp-warn-color1,#e65100)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The count of a progress bar."""

    name: str
    n_done: float
    n_rounds: float
    left_s: float | None

    def __str__(self) -> str:
        left = self.left_s
        count = f"{self.n_done:,} of {self.n_rounds:,}"
        words = f"{truncate(self.name, 32)} {count}".strip()
        return words if left is None else f"{words}, about {format_duration(left)} left"


def tqdm_progress() -> Progress | None:
    """Return how far the outermost open bar with a known length has come."""
    library: Any = sys.modules.get("tqdm.std")
    try:
        bars = [bar for bar in library.tqdm._instances if bar.total]
    except (AttributeError, RuntimeError):  # not imported, or a bar opens just now
        return None
    if not bars:
        return None
    bar = min(bars, key=lambda each: abs(each.pos))
    rate = bar.format_dict["rate"] or bar.n / (bar.format_dict["elapsed"] or 1)
    return Progress(
        name=bar.desc.removesuffix(": "),
        n_done=bar.n,
        n_rounds=bar.total,
        left_s=(bar.total - bar.n) / rate if rate else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A run at one moment; its HTML needs no script and no style sheet.

    However much was logged, text and HTML together stay below 45 kB.
    """

    status: RunStatus
    facts: Sequence[str]
    progress: Progress | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: Mapping[str, Points]

    def text(self) -> str:
        """Return it as lines of text."""
        progress = [str(self.progress)] if self.progress else []
        return "\n".join(
            [
                " · ".join([self.status, *self.facts, *progress]),
                *(f"{name}: {value}" for name, value in self._params()),
                *(
                    f"{truncate(name, _MAX_NAME)} {format_number(value)}"
                    for name, value in islice(self.metrics.items(), MAX_METRICS)
                ),
                *self._more_metrics(),
            ]
        )

    def html(self) -> str:
        """Return it as HTML, all text escaped."""
        return render_html(
            "panel.html",
            panel=self,
            colors=_COLORS,
            params=self._params(),
            metrics=self._metrics(),
            more=self._more_metrics(),
            width=_WIDTH,
        )

    def _params(self) -> list[tuple[str, str]]:
        shown = islice(self.params.items(), _MAX_PARAMS)
        rest = _rest(len(self.params) - _MAX_PARAMS, "params")
        return [
            *((truncate(n, _MAX_NAME), truncate(v, _MAX_VALUE)) for n, v in shown),
            *(("", line) for line in rest),
        ]

    def _metrics(self) -> list[tuple[str, float, str]]:
        """Return name, value and picture of the metrics shown."""
        shown, n_curves = [], 0
        for key, value in islice(self.metrics.items(), MAX_METRICS):
            name, curve = truncate(key, _MAX_NAME), ""
            points = self.curves.get(key, ())
            if len(points) > 1 and n_curves < _MAX_CURVES:
                n_curves += 1
                curve = _curve(name, points)
            shown.append((name, value, curve))
        return shown

    def _more_metrics(self) -> list[str]:
        return _rest(len(self.metrics) - MAX_METRICS, "metrics")


def _curve(name: str, points: Points) -> str:
    svg = sparkline(
        thinned(points, MOST_POINTS), width=_WIDTH, height=_HEIGHT, color=_COLOR
    )
    (first, start), (last, end) = points[0], points[-1]
    alt = (
        f"{name}: {format_number(start)} at step {first:g}, "
        f"{format_number(end)} at step {last:g}"
    )
    return image(svg, alt=alt, width=_WIDTH, height=_HEIGHT)


def _rest(n_more: int, what: str) -> list[str]:
    return [f"and {n_more:,} more {what}"] if n_more > 0 else []
