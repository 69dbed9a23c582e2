"""What a run takes: time, memory, money and energy, children included."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from nbmlops.config import Prices, load_settings

_SAMPLE_EVERY_S = 0.25
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
        own = self._process.memory_info().rss
        if time.monotonic() > self._look_at:
            self._children = list(children(self._process.pid))
            self._look_at = time.monotonic() + _LOOK_EVERY_S
        below = self._children
        held = own + sum(map(_resident_bytes, below))
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


class ResourceUsage:
    """Measures this process and its children from now on, until it is read out."""

    def __init__(self, prices: Prices | None = None) -> None:
        self.prices = load_settings().cost if prices is None else prices
        self._started = time.monotonic()
        self._cpu_before_s = _cpu_s()
        self._highest_before = _highest_bytes()
        self.memory = MemoryUsage()
        self.memory.measure()
        self._is_read = threading.Event()
        threading.Thread(target=self._sample, name="nbmlops-usage", daemon=True).start()

    @property
    def wall_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time, summed over cores, children included."""
        return max(_cpu_s() - self._cpu_before_s, 0.0)

    @property
    def peak_bytes(self) -> int:
        """The most memory held since the beginning, children included."""
        highest = _highest_bytes()
        grown = highest if highest > self._highest_before else 0
        return max(self.memory.peak_bytes, grown)

    @property
    def usd(self) -> float | None:
        """Money spent; None without a price."""
        price = self.prices.usd_per_hour
        return None if price is None else price * self.wall_s / 3600

    @property
    def energy_wh(self) -> float | None:
        """Energy in watt hours; None when no power is given."""
        prices = self.prices
        if prices.watts is None and prices.watts_per_core is None:
            return None
        spent = (prices.watts or 0) * self.wall_s
        return (spent + (prices.watts_per_core or 0) * self.cpu_s) / 3600

    def tags(self) -> dict[str, str]:
        """Stop sampling, and return what it took."""
        self._is_read.set()
        self.memory.measure()
        taken = {
            "wall_s": f"{self.wall_s:.3f}",
            "cpu_s": f"{self.cpu_s:.3f}",
            "peak_rss_bytes": str(self.peak_bytes),
        }
        if (usd := self.usd) is not None:
            taken["usd"] = f"{usd:.6g}"
        if (energy_wh := self.energy_wh) is not None:
            taken["energy_wh"] = f"{energy_wh:.6g}"
            if self.prices.kg_co2_per_kwh is not None:  # kg a kWh is g a Wh
                taken["co2_g"] = f"{energy_wh * self.prices.kg_co2_per_kwh:.6g}"
        return {f"nbmlops.cost.{name}": value for name, value in taken.items()}

    def _sample(self) -> None:
        while not self._is_read.wait(_SAMPLE_EVERY_S):
            self.memory.measure()


def _cpu_s() -> float:
    spent = os.times()
    total = spent.user + spent.system + spent.children_user + spent.children_system
    for pid in children(os.getpid()):  # those it has not waited for yet
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        total += sum(times[:4])  # user, system and those of its children
    return total


def _highest_bytes() -> int:
    """Return the most that this process ever held."""
    if sys.platform == "linux":  # where ru_maxrss begins with what the parent held
        status = Path("/proc/self/status").read_bytes()
        return 1024 * int(status.partition(b"VmHWM:")[2].split(None, 1)[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
