"""A pipeline: its file as read, what a run of it would do, and what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nbmlops.entities.metric import Mode
from nbmlops.entities.run import RunStatus

RetryKind = Literal["died", "outage", "timeout", "error"]
PlanState = Literal["cached", "run", "open"]
StepState = Literal[
    "cached", "running", "done", "failed", "pruned", "stopped", "not run"
]
ActionKind = Literal["register", "deploy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """The run of a grid that later steps get."""

    metric: str
    mode: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a step without a notebook does."""

    kind: ActionKind
    source: str | None
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a pipeline."""

    name: str
    line: int
    notebook: str | None = None
    action: Action | None = None
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    params: Mapping[str, object] = field(default_factory=dict)
    grid: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    select: Select | None = None
    kernel: str | None = None
    timeout_s: float | None = None
    cell_timeout_s: float | None = None
    retries: int = 0
    retry_on: tuple[RetryKind, ...] = ("died", "outage")
    retry_wait_s: float = 1.0
    cache: bool = True
    once: bool = False

    @property
    def does(self) -> str:
        """What it does, in a few words.

        >>> Step(name="train", line=1, notebook="train.ipynb").does
        'train.ipynb'
        """
        if self.action is None:
            return str(self.notebook)
        target = self.action.options.get("model") or self.action.options.get("endpoint")
        return f"{self.action.kind} {target or ''}".strip()

    @property
    def n_runs(self) -> int:
        """How many runs it fans out to, at least 1."""
        n = 1
        for values in self.grid.values():
            n *= len(values)
        return n


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What makes `watch` and `retrain` run a pipeline."""

    on: Literal["data", "drift", "performance", "schedule"]
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSpec:
    """A valid pipeline file."""

    name: str
    path: str
    experiment: str
    params: Mapping[str, object]
    steps: tuple[Step, ...]
    triggers: tuple[Trigger, ...] = ()

    def step(self, name: str) -> Step:
        """Return a step by its name."""
        return next(step for step in self.steps if step.name == name)

    def upstream(self, names: set[str]) -> set[str]:
        """Return the steps that these need, directly or not."""
        found: set[str] = set()
        for step in reversed(self.steps):  # in order, so one pass is enough
            if step.name in names | found:
                found.update(step.needs)
        return found - names

    def downstream(self, names: set[str]) -> set[str]:
        """Return the steps that need these, directly or not."""
        found: set[str] = set()
        for step in self.steps:  # in order, so one pass is enough
            if {*step.needs} & (names | found):
                found.add(step.name)
        return found - names


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """What a run of the pipeline would do with a step.

    Attributes
    ----------
    step : str
        The step, and of a grid the values of this run: ``train[C=1]``.
    state : {"cached", "run", "open"}
        ``open`` when it depends on what a step before it makes.
    why : str
        What changed, or what made the cached result.
    run_id : str or None
        The run that made the result, when cached.
    """

    step: str
    state: PlanState
    why: str
    run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """How a step, or one run of its grid, went.

    Attributes
    ----------
    step : str
        The step, and of a grid the values of this run: ``train[C=1]``.
    state : StepState
        How it ended; ``pruned`` when a search gave it up.
    why : str
        Why it ran, what went wrong, or what made the cached result.
    run_id : str or None
        The run that made the result.
    values : Mapping of str to object
        What its notebook emitted.
    metrics : Mapping of str to float
        Metrics of its run and of the runs of its cells.
    model_id, model_run_id : str or None
        The newest model that was logged in it, and the run that logged it.
    outputs : tuple of str
        Files it made, relative to the pipeline file.
    is_selected : bool
        Whether later steps get this one; True without a grid.
    """

    step: str
    state: StepState
    why: str = ""
    run_id: str | None = None
    duration_s: float = 0.0
    attempts: int = 0
    values: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    model_id: str | None = None
    model_run_id: str | None = None
    outputs: tuple[str, ...] = ()
    is_selected: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineReport:
    """What a pipeline run came to.

    Attributes
    ----------
    run_id : str
        Its run; while the store has not made that, the run's key.
    status : RunStatus
        ``FINISHED`` when every step is cached or done.
    steps : tuple of StepReport
        In the order of the file.
    """

    pipeline: str
    run_id: str
    status: RunStatus
    duration_s: float
    steps: tuple[StepReport, ...]
    notes: tuple[str, ...] = ()

    def step(self, name: str) -> StepReport:
        """Return what became of a step; of a grid the selected run."""
        named = [s for s in self.steps if s.step.partition("[")[0] == name]
        chosen = [s for s in named if s.is_selected]
        return (chosen or named)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A pipeline as a file of another tool; ``path`` is where it was written, if so."""

    to: str
    path: str | None
    text: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """A step's cached result."""

    key: str
    pipeline: str
    step: str
    run_id: str
    made_at: float
    used_at: float
    size_bytes: int
