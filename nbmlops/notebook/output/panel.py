"""What is shown of a run while its cell runs, and what stays of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice

from nbmlops.entities import RunStatus
from nbmlops.notebook.output.progress import Progress
from nbmlops.render import duration, number
from nbmlops.render.svg import MOST_POINTS, image, sparkline
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
_FAINT = "color:var(--jp-ui-font-color2,#666)"


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
        return "\n".join(
            [
                " · ".join([self.status, *self.facts, *_progress_text(self.progress)]),
                *(
                    f"{name}: {value}"
                    for name, value in _first(self.params.items(), _MAX_PARAMS)
                ),
                *(
                    f"{_short(name, _MAX_NAME)} {number(value)}"
                    for name, value in islice(self.metrics.items(), MAX_METRICS)
                ),
                *_rest(len(self.metrics) - MAX_METRICS, "metrics"),
            ]
        )

    def html(self) -> str:
        """Return it as HTML, all text escaped."""
        color = _COLORS[self.status]
        head = (
            f'<div><b style="color:{color}">{self.status}</b> '
            f'<span style="{_FAINT}">'
            f"{escape(' · '.join(['', *self.facts]).strip())}</span></div>"
        )
        return (
            f'<div style="border-left:3px solid {color};padding:2px 0 2px 10px;'
            "font-family:var(--jp-ui-font-family,sans-serif);"
            f'font-size:var(--jp-ui-font-size1,13px);line-height:1.5">{head}'
            f"{self._progress_html()}{self._params_html()}{self._metrics_html()}</div>"
        )

    def _progress_html(self) -> str:
        if self.progress is None:
            return ""
        share = self.progress.n_done / self.progress.n_rounds
        (said,) = _progress_text(self.progress)
        return (
            f'<div style="{_FAINT}">{escape(said)}</div>'
            '<div style="height:4px;width:280px;max-width:100%;border-radius:2px;'
            'background:var(--jp-border-color2,#ccc)"><div style="height:4px;'
            f"border-radius:2px;width:{share:.1%};background:{_COLORS['RUNNING']}"
            '"></div></div>'
        )

    def _params_html(self) -> str:
        shown = " &nbsp; ".join(
            f'<span style="{_FAINT}">{escape(name)}</span> {escape(value, quote=False)}'
            for name, value in _first(self.params.items(), _MAX_PARAMS)
        )
        return f"<div>{shown}</div>" if shown else ""

    def _metrics_html(self) -> str:
        tiles, n_curves = [], 0
        for name, value in islice(self.metrics.items(), MAX_METRICS):
            points = self.curves.get(name, ())
            curve = ""
            if len(points) > 1 and n_curves < _MAX_CURVES:
                n_curves += 1
                curve = f"<div>{_curve_html(name, points)}</div>"
            tiles.append(
                '<div style="display:inline-block;vertical-align:top;'
                f'margin:4px 24px 0 0;min-width:{_WIDTH if curve else 60}px">'
                f'<div style="{_FAINT}">{escape(_short(name, _MAX_NAME))}</div>'
                f"<b>{number(value)}</b>{curve}</div>"
            )
        rest = _rest(len(self.metrics) - MAX_METRICS, "metrics")
        more = "".join(f'<div style="{_FAINT}">{line}</div>' for line in rest)
        return f"<div>{''.join(tiles)}{more}</div>" if tiles else ""


def _curve_html(name: str, points: Points) -> str:
    svg = sparkline(
        thinned(points, MOST_POINTS), width=_WIDTH, height=_HEIGHT, color=_COLOR
    )
    (first, start), (last, end) = points[0], points[-1]
    said = (
        f"{_short(name, _MAX_NAME)}: {number(start)} at step {first:g}, "
        f"{number(end)} at step {last:g}"
    )
    return image(svg, alt=said, width=_WIDTH, height=_HEIGHT)


def _progress_text(progress: Progress | None) -> list[str]:
    if progress is None:
        return []
    left = progress.left_s
    return [
        f"{progress.name} {progress.n_done + 1} of {progress.n_rounds}"
        + (f", about {duration(left)} left" if left is not None else "")
    ]


def _first(items: Iterable[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    items = list(items)
    return [
        *((_short(n, _MAX_NAME), _short(v, _MAX_VALUE)) for n, v in items[:most]),
        *(("", line) for line in _rest(len(items) - most, "params")),
    ]


def _rest(n_more: int, what: str) -> list[str]:
    return [f"and {n_more:,} more {what}"] if n_more > 0 else []


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
