"""The course of a run's metrics, short enough to draw."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence

Points = tuple[tuple[float, float], ...]
"""Steps and values."""


class Curves:
    """The course of each metric, in bounded memory; any thread may add and read."""

    def __init__(self, *, n_points: int = 200, n_metrics: int = 50) -> None:
        self._n_points = n_points
        self._n_metrics = n_metrics
        self._points: dict[str, list[tuple[float, float]]] = {}
        self._newest: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def newest(self) -> dict[str, float]:
        """The last value of each metric kept, NaN and the infinities included."""
        with self._lock:
            return dict(self._newest)

    def add(self, name: str, steps: Sequence[float], values: Sequence[float]) -> None:
        """Add values of one metric, as they came."""
        if not len(values):
            return
        finite = [
            (step, value)
            for step, value in zip(steps, values, strict=True)
            if math.isfinite(value)
        ]
        with self._lock:
            if name not in self._newest and len(self._newest) >= self._n_metrics:
                return
            self._newest[name] = values[-1]
            kept = self._points.setdefault(name, [])
            kept += finite
            if len(kept) > 2 * self._n_points:
                self._points[name] = thinned(kept, self._n_points)

    def add_points(self, points: Iterable[tuple[str, float, int, int]]) -> None:
        """Add values of several metrics: each a name, a value, a time and a step."""
        by_name: dict[str, list[tuple[int, float]]] = {}
        for name, value, _, step in points:
            by_name.setdefault(name, []).append((step, value))
        for name, pairs in by_name.items():
            self.add(name, [step for step, _ in pairs], [value for _, value in pairs])

    def points(self, name: str) -> Points:
        """Return the course of a metric."""
        with self._lock:
            kept = sorted(self._points.get(name, ()), key=lambda point: point[0])
        return tuple(thinned(kept, self._n_points))


def thinned(
    points: Sequence[tuple[float, float]], n_points: int
) -> list[tuple[float, float]]:
    """Return at most ``n_points`` of the points, in their order.

    >>> thinned([(step, step % 50) for step in range(100)], 6)
    [(0, 0), (49, 49), (50, 0), (99, 49)]
    """
    if len(points) <= n_points:
        return list(points)
    steps = [step for step, _ in points]
    start, n_stretches = min(steps), (n_points - 2) // 2
    width = (max(steps) - start) / n_stretches or 1
    lowest: dict[int, int] = {}
    highest: dict[int, int] = {}
    for index, (step, value) in enumerate(points):
        stretch = min(int((step - start) / width), n_stretches - 1)
        if value < points[lowest.setdefault(stretch, index)][1]:
            lowest[stretch] = index
        if value > points[highest.setdefault(stretch, index)][1]:
            highest[stretch] = index
    chosen = {0, len(points) - 1, *lowest.values(), *highest.values()}
    return [points[index] for index in sorted(chosen)]
