"""What a step came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbmlops.entities import RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step came to.

    Attributes
    ----------
    run_id : str
        The step's run.
    status : RunStatus
        ``FINISHED``: any other end is raised.
    notebook : str
        Path of the notebook that was run; it is as it was.
    output : str or None
        Path of the executed notebook, where one was asked for.
    duration_s : float
        Seconds from the call to the end of the run.
    run_ids : tuple of str
        Runs that the notebook's cells made, the oldest first.
    notes : tuple of str
        What the store has not taken yet, and where it is kept.
    values : Mapping of str to object
        What its cells emitted.
    """

    run_id: str
    status: RunStatus
    notebook: str
    output: str | None
    duration_s: float
    run_ids: tuple[str, ...]
    notes: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
