"""Which process a run belongs to, and whether it still lives."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

_SAME_START_S = 2.0
SILENT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessId:
    """A process, distinct from all others that ever had its number."""

    host: str
    pid: int
    started: str
    boot: str

    @classmethod
    def me(cls) -> ProcessId:
        """Return this process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Return a process of this machine; one that is gone already never lives."""
        return cls(
            host=socket.gethostname(),
            pid=pid,
            started=start_of(pid) or "0",
            boot=boot(),
        )

    @classmethod
    def parse(cls, kernel: str, boot: str) -> ProcessId | None:
        """Return the owner from the tags of a run, or None when they are not ours."""
        found = re.fullmatch(
            r"(.+):([0-9]{1,9}):([0-9]{1,20}(?:\.[0-9]{1,9})?)", kernel
        )
        if found is None:
            return None
        return cls(host=found[1], pid=int(found[2]), started=found[3], boot=boot)

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> ProcessId | None:
        """Return the process that `record` describes, or None when it is not whole."""
        return cls.parse(str(record.get("kernel")), str(record.get("boot")))

    @property
    def record(self) -> dict[str, str]:
        """The process as JSON takes it; see `from_record`."""
        return {"kernel": self.kernel, "boot": self.boot}

    @property
    def kernel(self) -> str:
        """Value of the tag ``nbmlops.kernel``: ``host:pid:start-time``."""
        return f"{self.host}:{self.pid}:{self.started}"

    @property
    def is_here(self) -> bool:
        """Whether the process table of this system has it."""
        return self.host == socket.gethostname() and self.boot == boot()

    def is_dead(self, *, last_heartbeat: float | None, now: float) -> bool:
        """Return whether the process counts as gone."""
        if self.is_here:
            return not self._is_in_process_table()
        return last_heartbeat is not None and now - last_heartbeat > SILENT_S

    def _is_in_process_table(self) -> bool:
        found = start_of(self.pid)
        if found is None or "." in found or "." not in self.started:
            return found == self.started
        try:  # a run of 0.1.0, which took the time from a clock that is corrected
            created_at = psutil.Process(self.pid).create_time()
        except psutil.Error:
            return False
        return abs(created_at - float(self.started)) < _SAME_START_S


def start_of(pid: int) -> str | None:
    """Return when a process started, as text; None when it is gone.

    On Linux that is its start in clock ticks since the start of the system, which no
    correction of the clock moves. A process that ended and was not waited for is gone.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _created_at(pid)
    state, *rest = stat.rpartition(b")")[2].split()  # its name may hold anything
    return None if state in b"ZX" else rest[18].decode()


def _created_at(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        is_there = process.status() != psutil.STATUS_ZOMBIE
        return f"{process.create_time():.2f}" if is_there else None
    except psutil.Error:
        return None


def boot() -> str:
    """Return an id of this start of the system and of the container in it."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        inside = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - not the file's
    except OSError:
        return f"{psutil.boot_time():.0f}"
    return f"{start}:{inside}"
