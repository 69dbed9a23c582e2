"""How far a notebook has come, shown below the cell that runs it."""

from __future__ import annotations

import time

from nbmlops.entities import CellProgress
from nbmlops.render.progress import CellBar
from nbmlops.tracking.live_output import LiveOutput


class CellsBelow:
    """Shows a bar below the cell of a notebook; nothing anywhere else."""

    def __init__(self, name: str) -> None:
        self._below = LiveOutput(f"running {name}")
        self._began = time.monotonic()

    def __call__(self, progress: CellProgress) -> None:
        """Show how far it has come."""
        self._below.show(CellBar(progress, time.monotonic() - self._began))
