"""Effects that must not take place twice: meant before, and known to be done after.

Before a step marked ``once`` begins, a record on disk says so; it goes when the result
is kept, or when the notebook itself failed. A record that is found later is of a step
that was killed in between, of which nobody knows whether its effect took place. When
all its declared outputs were written since, they are the receipt: it is done. Else it
is not begun again but by name.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from nbmlops.entities import Step
from nbmlops.errors import ConflictError
from nbmlops.pipeline.digests import files_below, read_record, sharded, write_record

_CLOCK_S = 0.02  # the clock of files may run so far behind


class Intent:
    """The record of a step that is to be done once.

    Parameters
    ----------
    home : Path
        The folder of all that nbmlops keeps for the project.
    key : str
        Key of the step's result.
    """

    def __init__(self, home: Path, key: str) -> None:
        self._path = sharded(home / "pipelines" / "once", key)

    def declare(self) -> None:
        """Say, down to the disk, that the step begins."""
        write_record(self._path, {"begun_at": time.time()})
        for path in (self._path, self._path.parent):
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def withdraw(self) -> None:
        """Say that it is known how the step ended."""
        self._path.unlink(missing_ok=True)

    def was_done(self, step: Step, folder: Path) -> bool:
        """Return whether the step was killed after it was done.

        Parameters
        ----------
        step : Step
            The step.
        folder : Path
            What its outputs are relative to.

        Returns
        -------
        bool
            False when it was never begun.

        Raises
        ------
        ConflictError
            It was begun, and whether its effect took place is not known.
        """
        if not self._path.exists():
            return False
        record = read_record(self._path)
        begun_at = record["begun_at"] if isinstance(record, dict) else time.time()
        receipts = [list(files_below(folder / output)) for output in step.outputs]
        if receipts and all(
            any(path.stat().st_mtime >= begun_at - _CLOCK_S for path in files)
            for files in receipts
        ):
            return True
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(begun_at))
        raise ConflictError(
            f"Step {step.name!r} is to be done once; it was begun at {at} and killed, "
            "and whether its effect took place is not known.",
            fix=f"Look, then run it again with --force {step.name} if it did not.",
        )
