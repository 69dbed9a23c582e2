"""How much memory this process and its children hold."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil

_EXACT_SHARE = 0.05
"""Most of the time that may go into measuring exactly."""

_LOOK_EVERY_S = 0.25
"""How often new children are looked for, which takes longer the more threads run."""


def children(pid: int) -> Iterator[int]:
    """Return the processes below one, theirs included."""
    try:
        lists = [
            f"/proc/{pid}/task/{thread}/children"
            for thread in os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - only names
        ]
        below = [int(child) for path in lists for child in _words(path)]
    except FileNotFoundError:  # not on Linux, or the process is gone
        with suppress(psutil.Error):
            found = psutil.Process(pid).children(recursive=True)
            yield from (child.pid for child in found)
        return
    for child in below:
        yield child
        yield from children(child)


def _words(path: str) -> list[bytes]:
    try:
        with open(path, "rb", buffering=0) as listed:  # noqa: PTH123 - plain is faster
            return listed.read().split()
    except ProcessLookupError:  # a thread that has just ended
        return []


class MemoryUsage:
    """Measures what this process and its children hold together."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._children: list[int] = []
        self._look_at = self._rest_until = 0.0
        self.peak_bytes = 0

    def measure(self) -> int:
        """Return how much memory is held now."""
        own = held = self._process.memory_info().rss
        if time.monotonic() > self._look_at:
            self._children = list(children(self._process.pid))
            self._look_at = time.monotonic() + _LOOK_EVERY_S
        below = self._children
        if below:
            held += sum(map(_resident_bytes, below))
        if below and held > self.peak_bytes:
            # Forked children hold their parent's pages; to tell these apart is slow.
            began = time.monotonic()
            if began > self._rest_until:
                held = sum(map(_own_bytes, [self._process.pid, *below]))
                spent = time.monotonic() - began
                self._rest_until = began + spent / _EXACT_SHARE
            else:
                held = max(own, self.peak_bytes)
        self.peak_bytes = max(self.peak_bytes, held)
        return held


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _own_bytes(pid: int) -> int:
    try:
        memory = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return _resident_bytes(pid)
    return int(getattr(memory, "pss", memory.rss))
