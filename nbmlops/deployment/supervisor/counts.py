"""What a worker has counted, now and some seconds ago."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from nbmlops.processes.channel import Document

_RECENT_S = 5.0
_COUNTS = ("statuses", "latency")


class RecentCounts:
    """The counts of a worker that begins now, which tell how many came lately."""

    def __init__(self) -> None:
        self.snapshot: dict[str, Any] = {}
        now = asyncio.get_running_loop().time()
        self._history: deque[tuple[float, Document]] = deque([(now, {})])

    def count(self, snapshot: Document) -> None:
        """Take its counts, and keep them for some seconds."""
        self.snapshot = snapshot
        counts = {name: snapshot[name] for name in _COUNTS}
        self._history.append((asyncio.get_running_loop().time(), counts))
        self._forget()

    @property
    def before(self) -> tuple[Document, float]:
        """Its counts as they were some seconds ago, and how many seconds."""
        self._forget()
        kept_at, counts = self._history[0]
        age_s = asyncio.get_running_loop().time() - kept_at
        return counts, min(age_s, _RECENT_S)

    def _forget(self) -> None:
        start = asyncio.get_running_loop().time() - _RECENT_S
        while len(self._history) > 1 and self._history[1][0] <= start:
            self._history.popleft()
