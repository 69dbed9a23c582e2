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
    """How far a notebook has come.

    Attributes
    ----------
    n_done : int
        Cells that have ended, in [0, n_cells].
    n_cells : int
        Code cells it runs.
    cell : str
        The first line of the one that runs; "" when none does.
    expected_s : float or None
        Seconds all of it took the last time; None when that is not known.
    """

    n_done: int
    n_cells: int
    cell: str
    expected_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStep:
    """A step, or one run of its grid, as far as it has come.

    Attributes
    ----------
    step : str
        The step, and of a grid the values of this run: ``train[C=1]``.
    state : LiveState
        ``waiting`` until it begins.
    why : str
        Why it runs, what went wrong, or what made the result that stands.
    run_id : str or None
        The run that made the result, when it has ended.
    duration_s : float
        Seconds it took, or takes so far, at least 0.
    expected_s : float or None
        Seconds its last run took; None when that is not known.
    cells : CellProgress or None
        How far its notebook has come, while that runs.
    has_notebook : bool
        Whether the executed notebook can be read, which grows while it runs.
    is_selected : bool
        Whether it is the one of a grid that the steps behind see.
    """

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
    """One execution of a pipeline or of a notebook as a step.

    Attributes
    ----------
    id : str
        32 hexadecimal digits; not MLflow's.
    kind : {"pipeline", "step", "sweep"}
        What is executed.
    path : str
        Its file, relative to the project.
    status : RunStatus
        ``RUNNING`` until it ends.
    run_id : str or None
        MLflow's run, when it has ended.
    started_at : datetime
        When it began.
    ended_at : datetime or None
        When it ended.
    is_stopping : bool
        Whether it was told to stop and has not ended.
    steps : tuple of LiveStep
        In the order of the file.
    problem, fix : str
        What went wrong and how to mend it; "" when nothing did.
    """

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
