"""A small curve."""

from __future__ import annotations

from collections.abc import Sequence

_COLOR = "#1e88e5"  # stands out from white and from black


def sparkline(points: Sequence[tuple[float, float]], *, width: int, height: int) -> str:
    """Return a small curve as SVG.

    Parameters
    ----------
    points : sequence of (float, float)
        Steps, ascending, and finite values; at least one.
    width, height : int
        Its size in pixels.

    Returns
    -------
    str
        An ``svg`` element that needs nothing outside itself.
    """
    xs, ys = zip(*points, strict=True)
    left, right, low, high = xs[0], xs[-1], min(ys), max(ys)

    def place(x: float, y: float) -> str:
        across = (x - left) / (right - left or 1)
        # Halves, as the difference of two large values can be beyond a float.
        down = (high / 2 - y / 2) / (high / 2 - low / 2 or 1) if high > low else 0.5
        return f"{1 + across * (width - 4):.1f},{2 + down * (height - 4):.1f}"

    line = " ".join(place(x, y) for x, y in points)
    x, y = place(*points[-1]).split(",")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><polyline points="{line}" fill="none" '
        f'stroke="{_COLOR}" stroke-width="1.5" stroke-linejoin="round"/>'
        f'<circle cx="{x}" cy="{y}" r="2" fill="{_COLOR}"/></svg>'
    )
