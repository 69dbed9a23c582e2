"""Effects that must not take place twice: meant before, and known to be done after.

Before a step marked ``once`` begins its first cell, a record on disk says so, and when
its last one has ended, that it is done; it goes when the result is kept, when the
notebook itself failed, or when no cell was given to its process after all. A record
that is found later and does not say so is of a step that was killed in between, of
which nobody knows whether its effect took place. When all its declared outputs were
written since, they are the receipt: it is done. Else it is not begun again but by name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbmlops._masking import mask_tree
from nbmlops.entities import Step
from nbmlops.errors import ConflictError
from nbmlops.execution.file_hashes import read_record, sharded, write_record
from nbmlops.pipeline.cache.outputs import files_at
from nbmlops.processes.process_id import ProcessId

_CLOCK_S = 0.02  # the clock of files may run so far behind


@dataclass(frozen=True, slots=True)
class Effect:
    """What is known of a step that was done, and its result not kept."""

    run_id: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    begun_at: float = 0.0


class Intent:
    """The record of a step that is to be done once."""

    def __init__(self, home: Path, key: str) -> None:
        self._path = sharded(home / "pipelines" / "once", key)

    def declare(self) -> None:
        """Say, down to the disk, that the step begins."""
        owner = ProcessId.me()
        record = {"begun_at": time.time(), "by": owner.kernel, "boot": owner.boot}
        self._write(record)

    def confirm(self, run_id: str, values: Mapping[str, Any]) -> None:
        """Say that the step is done, whatever becomes of its result."""
        plain = {k: v for k, v in values.items() if mask_tree({k: v}) == {k: v}}
        begun_at = (read_record(self._path) or {}).get("begun_at", time.time())
        done = {"run_id": run_id, "values": plain, "at": time.time()}
        self._write({"begun_at": begun_at, "done": done})

    def _write(self, record: Mapping[str, Any]) -> None:
        write_record(self._path, record)
        for path in (self._path, self._path.parent):
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def withdraw(self) -> None:
        """Say that it is known how the step ended."""
        self._path.unlink(missing_ok=True)

    def is_under_way(self) -> bool:
        """Return whether the process that has begun the step still lives."""
        record = read_record(self._path)
        if not isinstance(record, dict) or "by" not in record:
            return False
        owner = ProcessId.parse(str(record["by"]), str(record["boot"]))
        now = time.time()
        return owner is not None and not owner.is_dead(last_heartbeat=now, now=now)

    def effect(self, step: Step, folder: Path) -> Effect | None:
        """Return what is known of the step, when it was done."""
        if not self._path.exists():
            return None
        record = read_record(self._path)
        record = record if isinstance(record, dict) else {}
        begun_at, done = record.get("begun_at", time.time()), record.get("done")
        made = {out: list(files_at(folder / out)) for out in step.outputs}
        when = time.localtime(begun_at if done is None else done["at"])
        at = time.strftime("%Y-%m-%d %H:%M:%S", when)
        if done is not None:
            lacking = [repr(name) for name, files in made.items() if not files]
            if not lacking:
                return Effect(done["run_id"], done["values"], begun_at - _CLOCK_S)
            raise ConflictError(
                f"Step {step.name!r} is to be done once; it was done at {at}, and has "
                f"not made its outputs: {', '.join(lacking)}.",
                fix=f"Make them, or force step {step.name!r}.",
            )
        if made and all(
            any(at.st_mtime >= begun_at - _CLOCK_S for _, at in files)
            for files in made.values()
        ):
            return Effect(begun_at=begun_at - _CLOCK_S)
        raise ConflictError(
            f"Step {step.name!r} is to be done once; it was begun at {at} and killed, "
            "and whether its effect took place is not known.",
            fix=f"Look, then force step {step.name!r} if it did not.",
        )
