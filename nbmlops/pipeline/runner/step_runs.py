"""One run of a step: what it is, where it comes from, its task, and how it ended."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from nbmlops.config import Settings
from nbmlops.entities import Action, PipelineSpec, Step, StepReport
from nbmlops.entities.pipeline import StepState
from nbmlops.errors import UsageError, did_you_mean
from nbmlops.pipeline.cache.keys import Parts

if TYPE_CHECKING:
    from nbmlops.store import Store

KEY = "nbmlops.cache_key"
"""Tag of a step's run: the key of its result."""
Failure = Literal["died", "outage", "timeout", "error", "usage"]
_WORD = re.compile(r"[^\s'\"=,()\[\]{}\\]+(?: [^\s'\"=,()\[\]{}\\]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """Where a notebook reports a metric while it runs, and hears that it is pruned."""

    folder: Path
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRun:
    """One run of a step; ``combo`` are the values of its grid."""

    step: Step
    combo: Mapping[str, object] = field(default_factory=dict)
    label: str = ""
    pruning: Pruning | None = None

    @property
    def name(self) -> str:
        """The step's name, and of a grid its values: ``train[C=1]``.

        No two combinations of values have the same name.
        """
        values = (f"{name}={printed(value)}" for name, value in self.combo.items())
        label = self.label or ",".join(values)
        if not label:
            return self.step.name
        short = label if len(label) < 120 else sha256(label.encode()).hexdigest()[:12]
        return f"{self.step.name}[{short}]"


class StepRunSource(Protocol):
    """Yields the runs of a sweep one by one, and learns how they end."""

    @property
    def step_runs(self) -> Sequence[StepRun]:
        """Those to report on, in order; each has a name of its own."""

    @property
    def is_late(self) -> bool:
        """Whether the time is up, so that no more begin."""

    def next(self) -> StepRun | None:
        """Return what is to begin now that there is room; None when nothing is."""

    def report(self, step_run: StepRun, report: StepReport) -> None:
        """Take note of how a run ended."""

    def poll(self) -> None:
        """Look at what runs; called several times a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether a step run has to run: its result in the cache is ``entry``, if any."""

    step_run: StepRun
    step_id: str
    params: Mapping[str, object]
    key: str
    parts: Parts
    why: str
    entry: dict[str, Any] | None
    is_forced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker does."""

    settings: Settings
    folder: Path
    pipeline: str
    experiment: str
    decision: Decision
    tags: Mapping[str, str]
    jobs: int
    action_source: StepReport | None = None
    run_action: Callable[[Task, Store], Mapping[str, object]] | None = None
    progress: Path | None = None
    keeps_notebook: bool = False

    @property
    def step(self) -> Step:
        """The step that it is a run of."""
        return self.decision.step_run.step

    @property
    def name(self) -> str:
        """The name of the step run."""
        return self.decision.step_run.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How a task ended."""

    report: StepReport
    entry: dict[str, Any] | None = None
    failure: Failure | None = None
    notes: tuple[str, ...] = ()


class Actions(Protocol):
    """What steps without a notebook do; a module of functions that can be pickled."""

    def run_action(self, task: Task, store: Store) -> Mapping[str, object]:
        """Register or deploy, and return the step's values."""

    def find_gap(
        self,
        action: Action,
        source: StepReport | None,
        values: Mapping[str, object],
        settings: Settings,
        store: Store | None,
    ) -> str:
        """Return what changed since the action was run, or ""."""


def entry_report(
    name: str, entry: Mapping[str, Any], *, state: StepState, why: str
) -> StepReport:
    """Return the report of a step run whose result is kept."""
    return StepReport(
        step=name,
        state=state,
        why=why,
        run_id=entry["run_id"],
        values=entry["values"],
        metrics=entry["metrics"],
        model_id=entry.get("model_id"),
        model_run_id=entry.get("model_run_id"),
        outputs=tuple(entry["outputs"]),
    )


def printed(value: object) -> str:
    """Return a value as no other one is printed: a text in quotes unless it is a word.

    >>> [printed(value) for value in (1, "1", 1.0, True, "true", None, "a", "a,b=1")]
    ['1', "'1'", '1.0', 'True', "'true'", 'None', 'a', "'a,b=1'"]
    """
    if isinstance(value, str) and value.isprintable() and _WORD.fullmatch(value):
        return repr(value) if _reads_as_other(value) else value
    return repr(value)


def _reads_as_other(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return word.lower() in ("true", "false", "none", "null", "~")
    return True


def step_runs_of(step: Step) -> Iterator[StepRun]:
    """Yield the runs of a step, the last axis of its grid changing fastest."""
    for values in product(*step.grid.values()):
        yield StepRun(step=step, combo=dict(zip(step.grid, values, strict=True)))


def choose(step: Step, reports: list[StepReport]) -> int:
    """Return which of a step's reports the steps behind it see."""
    if step.select is None:
        return 0
    metric, sign = step.select.metric, -1 if step.select.mode == "min" else 1
    scores = [report.metrics.get(metric) for report in reports]
    ranked = [
        (sign * score, -n)
        for n, score in enumerate(scores)
        if score is not None and score == score  # NaN is no best
    ]
    if ranked:
        return -max(ranked)[1]
    seen = {name for report in reports for name in report.metrics}
    if metric in seen:
        raise UsageError(
            f"Metric {metric!r} is not a number in any run of step {step.name!r}.",
            fix="Log a number, or select by another metric.",
        )
    raise UsageError(
        f"No run of step {step.name!r} has metric {metric!r} to select by."
        f"{did_you_mean(metric, seen)}",
        fix=f"Log it, or select by one of: {', '.join(sorted(seen)) or 'none'}.",
    )


class StepReports:
    """How the step runs of a run end, those that were not begun included."""

    def __init__(self, spec: PipelineSpec) -> None:
        self._spec = spec
        self._found: dict[str, dict[str, StepReport]] = {}

    def add(self, step_run: StepRun, report: StepReport) -> bool:
        """Keep a report, and return whether all runs of its step have one."""
        found = self._found.setdefault(step_run.step.name, {})
        found[step_run.name] = report
        return len(found) == step_run.step.n_runs

    def is_good(self, step: Step) -> bool:
        """Return whether no run of a step failed, was pruned or stopped."""
        found = self._found.get(step.name, {}).values()
        return all(each.state in ("cached", "done") for each in found)

    def of_step(self, step: Step) -> list[StepReport]:
        """Return the reports of a step whose runs all have one, in order."""
        return [self._found[step.name][each.name] for each in step_runs_of(step)]

    def of_all(
        self, step_runs: Iterable[StepRun], *, was_interrupted: bool
    ) -> tuple[StepReport, ...]:
        """Return a report of every step run, in order."""
        default = "interrupted" if was_interrupted else "another step failed"
        return tuple(
            self._find(each) or self._not_run(each, default) for each in step_runs
        )

    def lost(self, step_runs: Iterable[StepRun]) -> list[StepRun]:
        """Return those with no report of their own that no failure explains."""
        names = Counter(each.name for each in step_runs)
        return [
            each
            for each in step_runs
            if names[each.name] > 1
            or (self._find(each) is None and not self._failed_before(each))
        ]

    def _find(self, step_run: StepRun) -> StepReport | None:
        return self._found.get(step_run.step.name, {}).get(step_run.name)

    def _failed_before(self, step_run: StepRun) -> list[str]:
        """Return the steps that failed, or were stopped, which a step run needs."""
        names = self._spec.upstream({step_run.step.name})
        return [name for name in names if not self.is_good(self._spec.step(name))]

    def _not_run(self, step_run: StepRun, why: str) -> StepReport:
        if before := self._failed_before(step_run):
            why = f"it needs {', '.join(map(repr, sorted(before)))}, which failed"
        return StepReport(step=step_run.name, state="not run", why=why)
