"""A pipeline or a step that runs now, or ran last, as those who watch it see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from nbmlops.entities.run import RunStatus

LiveState = Literal[
    "waiting", "cached", "running", "done", "failed", "stopped", "not run"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellProgress:
    """How far a notebook has come."""

    n_done: int
    n_cells: int
    cell: str
    expected_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStep:
    """A step, or one run of its grid, as far as it has come."""

    step: str
    state: LiveState
    why: str = ""
    run_id: str | None = None
    duration_s: float = 0.0
    expected_s: float | None = None
    cells: CellProgress | None = None
    has_notebook: bool = False
    is_selected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """One execution of a pipeline or of a notebook as a step."""

    id: str
    kind: Literal["pipeline", "step", "sweep"]
    path: str
    status: RunStatus
    run_id: str | None
    started_at: datetime
    ended_at: datetime | None
    is_stopping: bool
    steps: tuple[LiveStep, ...]
    problem: str = ""
    fix: str = ""
