"""A comparison of runs as HTML without a script, for light and dark themes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import groupby

from nbmlops.entities import Comparison, MetricDifference
from nbmlops.render import image, number, table_html
from nbmlops.render.comparison_parts import (
    LETTERS,
    CodeBlock,
    Section,
    equal,
    headline,
    legend,
    parts,
    shortened,
)

_MOST_CURVES = 9
_PLOT_WIDTH, _PLOT_HEIGHT = 180, 60
# Of middling lightness, to be told from white and from black; dashes tell them apart
# where colours do not.
_COLOURS = (
    *("#1e88e5", "#f4511e", "#43a047", "#8e24aa"),
    *("#00897b", "#c0932b", "#d81b60", "#757575"),
)
_DASHES = ("", "5 2", "2 2", "7 2 2 2", "1 2", "9 3", "4 4", "1 4")
_QUIET = "color:var(--jp-ui-font-color2,#777)"
_TITLE = "font-weight:600;margin:10px 0 2px"
_MONO = (
    "font-family:var(--jp-code-font-family,monospace);"
    "font-size:var(--jp-code-font-size,13px);line-height:1.35"
)
# Seen through, so that the theme's text stays readable on it.
_LINES = {
    "+": "background:rgba(56,158,78,.22)",
    "-": "background:rgba(222,68,60,.22)",
}


def to_html(compared: Comparison) -> str:
    """Return a comparison as HTML."""
    n_runs = len(compared.runs)
    keys = "".join(
        f'<div style="{_MONO}">{_key(index)} {escape(line)}</div>'
        for index, line in enumerate(legend(compared))
    )
    blocks = [keys, f'<div style="{_TITLE}">{escape(headline(compared))}</div>']
    for part in parts(compared):
        if isinstance(part, CodeBlock):
            blocks.append(_code(part))
            continue
        blocks.append(_section(part, n_runs))
        if part.title == "metrics":
            blocks.append(_curves(compared.metrics))
    blocks += [_folded(text, members) for text, members in equal(compared)]
    return (
        '<div style="color:var(--jp-content-font-color1,inherit);'
        'font-size:var(--jp-ui-font-size1,13px);line-height:1.5">'
        f"{''.join(blocks)}</div>"
    )


def _key(index: int) -> str:
    svg = f'<svg viewBox="0 0 26 8"><path d="M0 4H26" {_stroke(index)}/></svg>'
    return image(svg, alt="", width=26, height=8, style="vertical-align:middle")


def _stroke(index: int) -> str:
    dashes = f' stroke-dasharray="{_DASHES[index]}"' if _DASHES[index] else ""
    colour = f'fill="none" stroke="{_COLOURS[index]}" stroke-width="1.6"'
    return f'{colour} stroke-linecap="round"{dashes}'


def _section(section: Section, n_runs: int) -> str:
    table = ""
    if section.rows:
        table = table_html(section.header(n_runs), section.rows, wraps=True)
    title = f'<div style="{_TITLE}">{escape(section.title)}</div>' if not table else ""
    body = title + table + _notes(section.notes)
    return f'<div style="margin-top:10px">{body}</div>'


def _notes(notes: Sequence[str]) -> str:
    return "".join(f'<div style="{_QUIET}">{escape(note)}</div>' for note in notes)


def _folded(text: str, members: Sequence[str]) -> str:
    summary = escape(f"{text} equal")
    if not members:
        return f'<div style="{_QUIET};margin-left:14px">{summary}</div>'
    return (
        f'<details style="{_QUIET}"><summary>{summary}</summary>'
        f'<div style="{_MONO};margin-left:14px">{escape(", ".join(members))}</div>'
        "</details>"
    )


def _code(block: CodeBlock) -> str:
    cells = "".join(
        f'<div style="{_QUIET};margin:4px 0 1px">{escape(heading)}</div>'
        f'<pre style="{_MONO};margin:0;padding:2px 0;overflow-x:auto;'
        "background:transparent;color:var(--jp-content-font-color1,inherit);"
        'border-left:2px solid var(--jp-border-color2,#bbb)">'
        f"{''.join(map(_line, lines))}</pre>"
        for heading, lines in block.cells
    )
    title = f'<div style="{_TITLE}">{escape(block.title)}</div>'
    return title + cells + _notes(block.notes)


def _line(line: str) -> str:
    style = f"display:block;padding:0 8px;{_LINES.get(line[:1], '')}"
    return f'<span style="{style}">{escape(line)}</span>'


def _curves(metrics: Sequence[MetricDifference]) -> str:
    stepped = [m for m in metrics if any(len(h.points) > 1 for h in m.histories if h)]
    if not stepped:
        return ""
    figures = "".join(map(_figure, stepped[:_MOST_CURVES]))
    hidden = len(stepped) - _MOST_CURVES
    more = [f"... and {hidden:,} more curves in .comparison"] if hidden > 0 else []
    style = "display:flex;flex-wrap:wrap;gap:6px 18px;margin:4px 0"
    return f'<div style="{style}">{figures}</div>{_notes(more)}'


def _figure(metric: MetricDifference) -> str:
    histories = [(i, h.points) for i, h in enumerate(metric.histories) if h]
    values = [v for _, points in histories for _, v in points if math.isfinite(v)]
    if not values:
        return ""
    low, high = min(values), max(values)
    steps = {step for _, points in histories for step, _ in points}
    axis = f"steps {min(steps):,} to {max(steps):,}"
    if len(steps) == 1:  # logged without steps: one after the other
        histories = [
            (i, tuple((n, v) for n, (_, v) in enumerate(points)))
            for i, points in histories
        ]
        steps = {n for _, points in histories for n, _ in points}
        axis = "one value after the other"
    paths = "".join(
        f'<path d="{_path(points, (min(steps), max(steps)), (low, high))}" '
        f"{_stroke(i)}/>"
        for i, points in histories
    )
    name = shortened(metric.name)
    label = f"{name} of {', '.join(LETTERS[i] for i, _ in histories)}, {axis}"
    edge = "1px solid var(--jp-border-color1,#999)"
    quiet = f"{_QUIET};font-size:11px"
    # A pixel more on each side, so that no line is cut at the edge.
    box = f'viewBox="-1 -1 {_PLOT_WIDTH + 2} {_PLOT_HEIGHT + 2}"'
    plot = image(
        f"<svg {box}>{paths}</svg>",
        alt=label,
        width=_PLOT_WIDTH,
        height=_PLOT_HEIGHT,
        style=f"margin:0;border-left:{edge};border-bottom:{edge}",
    )
    return (
        '<figure style="margin:0">'
        f'<figcaption style="{_MONO};overflow-wrap:anywhere;max-width:'
        f'{_PLOT_WIDTH + 60}px">{escape(name)}</figcaption><div style="display:flex">'
        f"{plot}"
        f'<div style="{quiet};margin-left:6px;display:flex;flex-direction:column;'
        f'justify-content:space-between"><span>{number(high)}</span>'
        f"<span>{number(low)}</span></div></div>"
        f'<div style="{quiet}">{axis}</div></figure>'
    )


def _path(
    points: Sequence[tuple[int, float]],
    across: tuple[int, int],
    along: tuple[float, float],
) -> str:
    """Return a line through the finite points, with a gap where one is not."""
    parts = []
    for is_finite, group in groupby(points, key=lambda point: math.isfinite(point[1])):
        if is_finite:
            places = [
                f"{_share(x, *across) * _PLOT_WIDTH:.1f} "
                f"{(1 - _share(y, *along)) * _PLOT_HEIGHT:.1f}"
                for x, y in group
            ]
            # A point alone is a dot.
            parts.append(f"M{'L'.join(places)}{'' if places[1:] else 'h.1'}")
    return "".join(parts)


def _share(value: float, low: float, high: float) -> float:
    if low == high:
        return 0.5
    # In quarters, for the whole range may be beyond the largest float.
    return (value / 4 - low / 4) / (high / 4 - low / 4)
