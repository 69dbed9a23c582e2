"""Steps marked ``once``: a record that keeps them from being done twice.

The record is on disk before the first cell begins, and is marked as done after the last
one. It is removed when the result is in the cache, when the notebook itself failed, or
when no cell began. A record that is left and not marked is of a step that was killed in
between. When all declared outputs were written since, the step is done. Else it only
runs again when you force it by name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbmlops._masking import mask_tree
from nbmlops.entities import Step
from nbmlops.errors import ConflictError, NbmlopsError, NotebookError
from nbmlops.execution.file_hashes import read_record, sharded, write_record
from nbmlops.pipeline.cache.outputs import files_at
from nbmlops.processes.process_id import ProcessId

_CLOCK_S = 0.02  # the clock of files may run so far behind


@dataclass(frozen=True, slots=True)
class CompletedStep:
    """A step that was done, and whose result is not in the cache."""

    run_id: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    begun_at: float = 0.0


class OnceRecord:
    """The record of a step that is done once."""

    def __init__(self, home: Path, key: str) -> None:
        self._path = sharded(home / "pipelines" / "once", key)

    def begin(self) -> None:
        """Write that the step begins, and wait until it is on disk."""
        owner = ProcessId.me()
        self._write({"begun_at": time.time(), "by": owner.kernel, "boot": owner.boot})

    @contextmanager
    def guard(self, step: Step) -> Iterator[None]:
        """Forget it when no cell was begun, or the code itself said that it failed."""
        try:
            yield
        except (NbmlopsError, KeyboardInterrupt) as error:
            cause = error.__cause__ if isinstance(error, KeyboardInterrupt) else error
            if isinstance(cause, NotebookError):
                has_failed = cause.how in ("raised", "exited", "not started")
                is_known = has_failed or cause.cell_index is None
            else:
                is_known = isinstance(cause, NbmlopsError) and step.notebook is None
            if is_known:
                self.remove()
            raise

    def complete(self, run_id: str, values: Mapping[str, Any]) -> None:
        """Write that the step is done, whatever becomes of its result."""
        plain = {k: v for k, v in values.items() if mask_tree({k: v}) == {k: v}}
        begun_at = self._read().get("begun_at", time.time())
        done = {"run_id": run_id, "values": plain, "at": time.time()}
        self._write({"begun_at": begun_at, "done": done})

    def remove(self) -> None:
        """Forget it: how the step ended is known."""
        self._path.unlink(missing_ok=True)

    def is_under_way(self) -> bool:
        """Return whether the process that has begun the step still lives."""
        record = self._read()
        owner = ProcessId.parse(str(record.get("by")), str(record.get("boot")))
        now = time.time()
        return owner is not None and not owner.is_dead(last_heartbeat=now, now=now)

    def find_completed(self, step: Step, folder: Path) -> CompletedStep | None:
        """Return what is known of the step if it was done; None if it was not begun."""
        if not self._path.exists():
            return None
        record = self._read()
        begun_at, done = record.get("begun_at", time.time()), record.get("done")
        made = {out: list(files_at(folder / out)) for out in step.outputs}
        when = time.localtime(begun_at if done is None else done["at"])
        at = time.strftime("%Y-%m-%d %H:%M:%S", when)
        if done is not None:
            missing = [repr(name) for name, files in made.items() if not files]
            if not missing:
                return CompletedStep(
                    done["run_id"], done["values"], begun_at - _CLOCK_S
                )
            raise ConflictError(
                f"Step {step.name!r} is to be done once; it was done at {at}, and has "
                f"not made its outputs: {', '.join(missing)}.",
                fix=f"Make them, or force step {step.name!r}.",
            )
        if made and all(
            any(at.st_mtime >= begun_at - _CLOCK_S for _, at in files)
            for files in made.values()
        ):
            return CompletedStep(begun_at=begun_at - _CLOCK_S)
        raise ConflictError(
            f"Step {step.name!r} is to be done once; it was begun at {at} and killed, "
            "and whether its effect took place is not known.",
            fix=f"Look, then force step {step.name!r} if it did not.",
        )

    def _read(self) -> dict[str, Any]:
        record = read_record(self._path)
        return record if isinstance(record, dict) else {}

    def _write(self, record: Mapping[str, Any]) -> None:
        write_record(self._path, record)
        for path in (self._path, self._path.parent):
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
