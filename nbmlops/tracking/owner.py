"""Which process a run belongs to, and whether it still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

_SAME_START_S = 2.0  # the system computes start times from a clock that is corrected
SILENT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process, told apart from all others that ever had its number.

    Attributes
    ----------
    host : str
        Name of the machine or container.
    pid : int
        Its process id there.
    started_at : float
        When it began, in seconds since 1970.
    boot : str
        Which start of the system, and which container of it, the process id is from.
    """

    host: str
    pid: int
    started_at: float
    boot: str

    @classmethod
    def me(cls) -> Owner:
        """Return this process."""
        return cls.of(psutil.Process(os.getpid()))

    @classmethod
    def of(cls, process: psutil.Process) -> Owner:
        """Return a process of this machine."""
        return cls(
            host=socket.gethostname(),
            pid=process.pid,
            started_at=process.create_time(),
            boot=boot(),
        )

    @classmethod
    def parse(cls, kernel: str, boot: str) -> Owner | None:
        """Return the owner from the tags of a run, or None when they are not ours."""
        try:
            host, pid, started_at = kernel.rsplit(":", 2)
            return cls(host=host, pid=int(pid), started_at=float(started_at), boot=boot)
        except ValueError:
            return None

    @property
    def kernel(self) -> str:
        """Value of the tag ``nbmlops.kernel``: ``host:pid:start-time``."""
        return f"{self.host}:{self.pid}:{self.started_at:.2f}"

    def is_dead(self, *, heard_at: float | None, now: float) -> bool:
        """Return whether the process is surely gone.

        Parameters
        ----------
        heard_at : float or None
            When it last said that it lives, in seconds since 1970, where that is known.
        now : float
            The time now, in seconds since 1970.

        Returns
        -------
        bool
            In the same system the process table tells: a stopped process lives, and one
            of another start time is another. From elsewhere a process counts as dead
            after ten minutes without a heartbeat, and never without having been heard.
        """
        if self.host == socket.gethostname() and self.boot == boot():
            return not self._is_in_process_table()
        return heard_at is not None and now - heard_at > SILENT_S

    def _is_in_process_table(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return abs(process.create_time() - self.started_at) < _SAME_START_S
        except psutil.NoSuchProcess:
            return False


def boot() -> str:
    """Return an id of this start of the system and of the container in it."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        inside = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - not the file's
    except OSError:
        return f"{psutil.boot_time():.0f}"
    return f"{start}:{inside}"
