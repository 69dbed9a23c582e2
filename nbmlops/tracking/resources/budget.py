"""What a run may take at most."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from nbmlops.errors import UsageError
from nbmlops.render.formats import format_bytes
from nbmlops.tracking.resources.memory import MemoryUsage

_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
_BYTES = {
    **{"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12},
    **{"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40},
}
_AMOUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a run may take at most."""

    wall_s: float | None = None
    memory_bytes: int | None = None

    def excess(self, wall_s: float, held_bytes: int) -> str | None:
        """Return what is used up, in words.

        >>> Budget(wall_s=90).excess(90.1, 0)
        'budget of 90 s used up'
        >>> Budget(memory_bytes=2_000_000_000).excess(0, 2_140_000_000)
        'budget of 2 GB: 2.1 GB used'
        """
        if self.wall_s is not None and wall_s >= self.wall_s:
            return f"budget of {self.wall_s:g} s used up"
        if self.memory_bytes is not None and held_bytes > self.memory_bytes:
            budget = format_bytes(self.memory_bytes)
            return f"budget of {budget}: {format_bytes(held_bytes)} used"
        return None

    def check_memory(self) -> None:
        """Refuse a budget that is used up before the run begins."""
        if self.memory_bytes is None:
            return
        held = MemoryUsage().measure()
        if held > self.memory_bytes:
            raise UsageError(
                f"This process holds {format_bytes(held)} already, more than the "
                f"budget of {format_bytes(self.memory_bytes)}.",
                fix="Give a larger budget, or restart the kernel.",
            )


def parse_budget(words: str | Iterable[str]) -> Budget | None:
    """Return the budget that words such as ``90s`` and ``2GB`` give.

    >>> parse_budget("15m 500MB")
    Budget(wall_s=900.0, memory_bytes=500000000)
    """
    wall_s: float | None = None
    memory_bytes: int | None = None
    words = words.split() if isinstance(words, str) else list(words)
    for word in words:
        found = _AMOUNT.fullmatch(word)
        unit = found["unit"].lower() if found else ""
        amount = float(found["number"]) if found else 0
        problem = f"{word!r} is no budget"
        if unit in _SECONDS and amount > 0:
            problem = f"{word!r} is a second time" if wall_s else ""
            wall_s = amount * _SECONDS[unit]
        elif unit in _BYTES and amount > 0:
            problem = f"{word!r} is a second amount of memory" if memory_bytes else ""
            memory_bytes = int(amount * _BYTES[unit])
        if problem:
            raise UsageError(
                f"{problem}.",
                fix="Give a time such as 90s, 15m or 2h, memory such as 500MB or 2GB, "
                "or one of each.",
            )
    return Budget(wall_s=wall_s, memory_bytes=memory_bytes) if words else None
