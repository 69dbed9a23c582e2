"""How far the ``tqdm`` bar of a cell has come."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from nbmlops.render.formats import format_duration, truncate


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
