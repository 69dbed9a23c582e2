"""Small pictures as SVG: no script, in the colours of the theme around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import groupby
from urllib.parse import quote

MOST_POINTS = 50
_EDGE = 2.0


def sparkline(
    points: Sequence[tuple[float, float]],
    *,
    width: int = 80,
    height: int = 18,
    color: str = "currentColor",
) -> str:
    """Return a curve as a small SVG picture.

    >>> sparkline([(0, float("nan"))])
    ''
    >>> "<polyline" in sparkline([(0, 1.0), (1, 0.5), (2, 0.25)])
    True
    """
    drawn = _thinned(points)
    finite = [point for point in drawn if _is_finite(point)]
    if not finite:
        return ""
    place = _Scale(finite, width, height)
    lines = [
        place.line(list(part))
        for is_line, part in groupby(drawn, key=_is_finite)
        if is_line
    ]
    shapes = [f'<polyline points="{" ".join(line)}"/>' for line in lines]
    first, last = finite[0][1], finite[-1][1]
    return (
        f'<svg role="img" width="{width}" '
        f'height="{height}" aria-label="{first:.3g} to {last:.3g}" fill="none" '
        f'stroke="{color}">{"".join(shapes)}</svg>'
    )


def image(svg: str, *, alt: str, width: int, height: int, style: str = "") -> str:
    """Return a picture as an image, which viewers of untrusted notebooks let pass.

    They take ``<svg>`` elements out. The theme's colours do not reach into an image.

    >>> image("<svg></svg>", alt="A", width=8, height=9)[:55]
    '<img alt="A" width="8" height="9" src="data:image/svg+x'
    """
    svg = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    styled = f' style="{style}"' if style else ""
    return (
        f'<img alt="{escape(alt)}" width="{width}" height="{height}"{styled} '
        f'src="data:image/svg+xml,{quote(svg, safe=" =:/,.()")}">'
    )


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    if len(points) <= MOST_POINTS:
        return points
    share = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(n * share)] for n in range(MOST_POINTS)]


def _is_finite(point: tuple[float, float]) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


class _Scale:
    """Turns steps and values into places in the picture."""

    def __init__(
        self, points: Sequence[tuple[float, float]], width: int, height: int
    ) -> None:
        xs, ys = zip(*points, strict=True)
        self._x = (min(xs), max(xs), width - 2 * _EDGE)
        self._y = (min(ys), max(ys), height - 2 * _EDGE)

    def line(self, points: Sequence[tuple[float, float]]) -> list[str]:
        places = [self._place(x, y) for x, y in points]
        if len(places) == 1:  # between two gaps: a dash, or it would not be seen
            places.append((places[0][0] + 1, places[0][1]))
        return [f"{round(x, 1):g},{round(y, 1):g}" for x, y in places]

    def _place(self, x: float, y: float) -> tuple[float, float]:
        down = 1 - _share(y, *self._y[:2])
        return (
            _EDGE + _share(x, *self._x[:2]) * self._x[2],
            _EDGE + down * self._y[2],
        )


def _share(value: float, low: float, high: float) -> float:
    """Return where between low and high a value is, also when their span overflows."""
    span = high / 2 - low / 2
    return (value / 2 - low / 2) / span if span > 0 else 0.5
