"""Small pictures as SVG: no script, in the colours of the theme around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from urllib.parse import quote

MOST_POINTS = 50
Point = tuple[float, float]


def sparkline(
    points: Sequence[Point],
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
    if len(points) > MOST_POINTS:
        share = (len(points) - 1) / (MOST_POINTS - 1)
        points = [points[round(n * share)] for n in range(MOST_POINTS)]
    finite = [point for point in points if _is_finite(point)]
    if not finite:
        return ""
    xs, ys = zip(*finite, strict=True)
    scale = Scale((min(xs), max(xs)), (min(ys), max(ys)), width, height, edge=2)
    first, last = finite[0][1], finite[-1][1]
    return (
        f'<svg role="img" width="{width}" '
        f'height="{height}" aria-label="{first:.3g} to {last:.3g}" fill="none" '
        f'stroke="{color}">{scale.polylines(points)}</svg>'
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """Turns points within two ranges into places in a picture."""

    xs: tuple[float, float]
    ys: tuple[float, float]
    width: int
    height: int
    edge: int

    def polylines(self, points: Sequence[Point]) -> str:
        """Return a curve, with a gap where it is not finite."""
        lines = []
        for is_line, part in groupby(points, key=_is_finite):
            places = [self._place(*point) for point in part if is_line]
            if len(places) == 1:  # between two gaps: a dash, or it would not be seen
                places.append((places[0][0] + 1, places[0][1]))
            texts = [f"{round(x, 1):g},{round(y, 1):g}" for x, y in places]
            lines += [f'<polyline points="{" ".join(texts)}"/>'] if texts else []
        return "".join(lines)

    def _place(self, x: float, y: float) -> Point:
        return (
            self.edge + _share(x, *self.xs) * (self.width - 2 * self.edge),
            self.edge + (1 - _share(y, *self.ys)) * (self.height - 2 * self.edge),
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


def _is_finite(point: Point) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _share(value: float, low: float, high: float) -> float:
    """Return where between low and high a value is, also when their span overflows."""
    span = high / 2 - low / 2
    return (value / 2 - low / 2) / span if span > 0 else 0.5
