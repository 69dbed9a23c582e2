"""Where the runs of a step come from, when a grid is not all there is to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nbmlops.entities import StepReport
from nbmlops.pipeline.runner.step_runs import StepRun


class StepRunSource(Protocol):
    """Says one by one which runs of a step there are to be, and is told their ends."""

    @property
    def units(self) -> Sequence[StepRun]:
        """Those to report on, in order; each has a name of its own."""

    @property
    def is_late(self) -> bool:
        """Whether the time was up, so that those not begun are not to be."""

    def next(self) -> StepRun | None:
        """Return what is to begin now that there is room; None when nothing is."""

    def told(self, unit: StepRun, report: StepReport) -> None:
        """Take note of what became of a unit."""

    def look(self) -> None:
        """Look at what runs, several times a second."""
