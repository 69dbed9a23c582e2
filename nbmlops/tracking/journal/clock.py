"""Times that only go forward, whatever happens to the clock of the system."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from nbmlops.tracking.journal.dirs import OWN
from nbmlops.tracking.journal.records import first_document, open_file, record_of

_MS = 1_000_000
_FARTHEST_MS = 7 * 24 * 3600 * 1000
"""Further ahead than this the clock was wrong before it was set right, not now."""

_latest: dict[Path, int] = {}


elapsed_ns: Callable[[], int] = (
    partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic_ns
)
"""Returns nanoseconds since some moment, the time that a system slept included."""


class RunClock:
    """The time in one run: from its start on, as the system's steady clock counts."""

    def __init__(self, started_ms: int) -> None:
        self.offset_ns = started_ms * _MS - elapsed_ns()

    def now_ms(self) -> int:
        """Return the time, in milliseconds since 1970."""
        return (elapsed_ns() + self.offset_ns) // _MS

    def at_ms(self, moment_ns: int) -> int:
        """Return what `now_ms` would have said when `elapsed_ns` said this."""
        return (moment_ns + self.offset_ns) // _MS


def start_ms(home: Path) -> int:
    """Return when something begins that began after all that began before.

    It is the time, in milliseconds since 1970, or one more than the last such time of
    the project where the clock has gone back: what began last is the latest one.
    """
    now = time.time_ns() // _MS
    with suppress(OSError):  # no disk has room, or it cannot be written: as seen here
        fd = open_file(home / OWN / "clock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            found = _after(now, first_document(os.pread(fd, 64, 0)), _latest.get(home))
            os.pwrite(fd, record_of(found), 0)
            _latest[home] = found
            return found
        finally:
            os.close(fd)
    _latest[home] = _after(now, _latest.get(home))
    return _latest[home]


def _after(now: int, *earlier: object) -> int:
    known = [each for each in earlier if type(each) is int]
    return max([now, *(ms + 1 for ms in known if ms - now < _FARTHEST_MS)])
