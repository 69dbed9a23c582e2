"""What a run took."""

from __future__ import annotations

import os
import resource
import sys
import time


class Meter:
    """Measures this process, and the children it has waited for, from now on."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._cpu_before_s = _cpu_s()

    def tags(self) -> dict[str, str]:
        """Return what it took so far.

        Returns
        -------
        dict of str to str
            ``nbmlops.cost.wall_s`` and ``.cpu_s`` in seconds, and ``.peak_rss_bytes``,
            the most memory the process ever held.
        """
        return {
            "nbmlops.cost.wall_s": f"{time.monotonic() - self._started:.3f}",
            "nbmlops.cost.cpu_s": f"{_cpu_s() - self._cpu_before_s:.3f}",
            "nbmlops.cost.peak_rss_bytes": str(_peak_rss_bytes()),
        }


def _cpu_s() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
