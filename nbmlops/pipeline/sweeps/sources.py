"""Where the runs of a sweep come from: a grid or list in order, or Optuna's search."""

from __future__ import annotations

import math
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.entities import Mode, Step, StepReport, ranked
from nbmlops.errors import UsageError, did_you_mean
from nbmlops.execution.file_hashes import read_record, write_record
from nbmlops.pipeline.runner.step_runs import Pruning, StepRun
from nbmlops.pipeline.sweeps.space import Space
from nbmlops.pipeline.sweeps.spec import PRUNERS, SweepSpec
from nbmlops.tracking.run.pruning import read_steps

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial


class SweepProgress:
    """Counts the runs that ended, and says so."""

    def __init__(
        self,
        n_runs: int | None,
        metric: str | None,
        mode: Mode,
        say: Callable[[str], None],
    ) -> None:
        self._n_runs, self._metric, self._mode, self._say = n_runs, metric, mode, say
        self._counts: dict[str, int] = {}
        self._n_ran = 0
        self._began = time.monotonic()
        self.best: StepReport | None = None

    def add(self, report: StepReport, *, is_new: bool = True) -> None:
        """Count a run."""
        self._counts[report.state] = self._counts.get(report.state, 0) + 1
        if self._metric is not None:
            both = [each for each in (self.best, report) if each]
            self.best = next(iter(ranked(both, self._metric, self._mode)), None)
        if is_new and report.state != "cached":
            self._n_ran += 1
            self._say(str(self))

    def __str__(self) -> str:
        n = sum(self._counts.values())
        parts = [f"{n} of {self._n_runs or '?'} ended"]
        parts += [
            f"{self._counts[state]} {state}"
            for state in ("cached", "failed", "pruned", "stopped")
            if state in self._counts
        ]
        if self._n_runs and self._n_ran and n < self._n_runs:
            took_s = time.monotonic() - self._began
            left_s = took_s / self._n_ran * (self._n_runs - n)
            parts.append(f"about {left_s:.0f} s left")
        if self.best is not None and self._metric is not None:
            value = self.best.metrics[self._metric]
            parts.append(f"best {self._metric}={value:.4g} by {self.best.step}")
        return ", ".join(parts)


class GridSource:
    """The runs of a grid or a list, in order."""

    def __init__(
        self,
        step: Step,
        combos: Sequence[Mapping[str, object]],
        progress: SweepProgress,
        time_s: float | None,
    ) -> None:
        self.step_runs = [
            StepRun(step=step, combo=combo, label="" if combo else f"set {n}")
            for n, combo in enumerate(combos, 1)
        ]
        self.pruned_before: tuple[StepReport, ...] = ()
        self.is_late = False
        self._left = deque(self.step_runs)
        self._progress = progress
        self._end = time.monotonic() + (time_s or math.inf)

    def next(self) -> StepRun | None:
        """Return the next set, while there is time."""
        self.is_late = bool(self._left) and time.monotonic() > self._end
        return self._left.popleft() if self._left and not self.is_late else None

    def report(self, _step_run: StepRun, report: StepReport) -> None:
        """Count a run that has ended."""
        self._progress.add(report)

    def poll(self) -> None:
        """Do nothing: no run is pruned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """A run that a search has asked for, as its history keeps it."""

    params: dict[str, Any]
    state: str = "running"
    steps: dict[int, float] = field(default_factory=dict)
    why: str = ""
    run_id: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)


class SearchHistory:
    """The runs of a search in a file; an unreadable file starts a new search.

    Not Optuna's journal storage, which waits for the disk at each step reported.
    """

    def __init__(self, path: Path | None, *, is_new: bool = False) -> None:
        self._path = path
        self.trials: list[TrialRecord] = []
        found = None if path is None or is_new else read_record(path)
        with suppress(TypeError, ValueError, KeyError, AttributeError):
            self.trials = [
                TrialRecord(
                    **each | {"steps": {int(n): v for n, v in each["steps"].items()}}
                )
                for each in found or ()
            ]

    def put(self, number: int, trial: TrialRecord) -> None:
        """Keep a run, in place of what was known of it."""
        self.trials[number : number + 1] = [trial]
        if self._path is not None:
            with suppress(OSError):  # the search itself goes on
                write_record(self._path, [asdict(each) for each in self.trials])


@dataclass(slots=True)
class _RunningTrial:
    trial: Trial
    file: Path
    offset: int = 0
    steps: dict[int, float] = field(default_factory=dict)

    def read(self) -> bool:
        """Report the steps that the run has logged since; return if any are new."""
        found, self.offset = read_steps(self.file, self.offset)
        return self.report(dict(found))

    def report(self, steps: Mapping[int, float]) -> bool:
        """Report steps to Optuna; return if any are new."""
        new = {n: v for n, v in steps.items() if n >= 0 and n not in self.steps}
        for step, value in sorted(new.items()):
            self.trial.report(value, step)
        self.steps |= new
        return bool(new)


class SearchSource:
    """The runs that Optuna asks for, one after the other, and those it prunes."""

    def __init__(
        self,
        step: Step,
        space: Space,
        spec: SweepSpec,
        mode: Mode,
        *,
        history: SearchHistory,
        folder: Path,
        progress: SweepProgress,
    ) -> None:
        assert spec.metric is not None  # noqa: S101 - it was checked
        self.step_runs: list[StepRun] = []
        self.is_late = False
        self._step, self._space, self._metric = step, space, spec.metric
        self._history, self._folder, self._progress = history, folder, progress
        self._end = time.monotonic() + (spec.time_s or math.inf)
        self._max_trials = math.inf if spec.trials is None else spec.trials
        self._before = history.trials[: spec.trials]
        self._study = _make_study(spec, mode, len(self._before))
        # A sampler that has nothing left to draw says so: it is in no loop of Optuna's.
        self._study.stop = self._stop  # type: ignore[method-assign]
        self._running: dict[str, _RunningTrial] = {}
        self._known_metrics: set[str] = set()
        self.pruned_before = list(self._replay())

    def _replay(self) -> Iterator[StepReport]:
        """Tell Optuna what was searched before, under the same numbers."""
        from optuna.trial import TrialState, create_trial

        for number, each in enumerate(self._before):
            if each.state != "pruned" or not each.steps:
                self._study.enqueue_trial(each.params)  # most of them are cached
                continue
            report = StepReport(
                step=f"{self._step.name}[{number}]",
                state="pruned",
                why=each.why,
                run_id=each.run_id,
                params={**self._step.params, **self._space.decode(each.params)},
                metrics=each.metrics,
            )
            self._progress.add(report, is_new=False)
            yield report
            self._study.add_trial(
                create_trial(
                    state=TrialState.PRUNED,
                    params=each.params,
                    distributions=self._space.distributions,
                    intermediate_values=each.steps,
                    value=each.steps[max(each.steps)],
                )
            )

    def next(self) -> StepRun | None:
        """Return the next set, while there is time and not all are asked for."""
        n = len(self.step_runs) + len(self.pruned_before)
        self.is_late = n < self._max_trials and time.monotonic() > self._end
        if n >= self._max_trials or self.is_late:
            return None
        trial = self._study.ask(self._space.distributions)
        folder = self._folder / str(trial.number)
        folder.mkdir(parents=True, exist_ok=True)
        step_run = StepRun(
            step=self._step,
            combo=self._space.decode(trial.params),
            label=str(trial.number),
            pruning=Pruning(folder=folder, metric=self._metric),
        )
        self.step_runs.append(step_run)
        self._running[step_run.name] = _RunningTrial(trial, folder / "steps")
        self._history.put(trial.number, TrialRecord(params=trial.params))
        return step_run

    def _stop(self) -> None:
        self._max_trials = 0

    def report(self, step_run: StepRun, report: StepReport) -> None:
        """Tell Optuna how a run ended."""
        from optuna.trial import TrialState

        run = self._running.pop(step_run.name)
        run.read()
        number = run.trial.number
        if report.state == "cached" and number < len(self._before):
            run.report(self._before[number].steps)
        value = report.metrics.get(self._metric, math.nan)
        is_over = report.state in ("cached", "done")
        if is_over and math.isfinite(value):
            self._study.tell(run.trial, value)
        else:
            is_pruned = report.state == "pruned"
            state = TrialState.PRUNED if is_pruned else TrialState.FAIL
            self._study.tell(run.trial, state=state)
        record = TrialRecord(
            params=run.trial.params,
            state="done" if is_over else report.state,
            steps=run.steps,
            why=report.why,
            run_id=report.run_id,
            metrics=dict(report.metrics),
        )
        self._history.put(number, record)
        self._progress.add(report)
        if is_over:
            self._known_metrics |= set(report.metrics)
            self._check_metric()

    def _check_metric(self) -> None:
        metric, known = self._metric, sorted(self._known_metrics)
        if metric not in known:
            near = did_you_mean(metric, known)
            raise UsageError(
                f"The run has no metric {metric!r} to search by.{near}",
                fix=f"Log it, or search by one of: {', '.join(known) or 'none'}.",
            )

    def poll(self) -> None:
        """Prune the runs that Optuna says are not worth going on."""
        for run in self._running.values():
            verdict = run.file.with_name("verdict")
            if not run.read() or verdict.exists():
                continue
            step = max(run.steps)
            # What is logged once, at the end, has no step but the 0 of all metrics.
            if step > 0 and run.trial.should_prune():
                value = f"{self._metric}={run.steps[step]:.4g}"
                draft = verdict.with_name("draft")
                draft.write_text(f"pruned at step {step}, {value}", "utf-8")
                draft.replace(verdict)


def _make_study(spec: SweepSpec, mode: Mode, n_before: int) -> Study:
    """Return a study of Optuna's that goes on behind so many runs."""
    import optuna

    pruner: Any = spec.pruner or "median"
    if isinstance(pruner, str):
        pruner = getattr(optuna.pruners, PRUNERS[pruner])()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # not of each new study
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some options are experimental
            sampler = spec.sampler or optuna.samplers.TPESampler(
                seed=(spec.seed or 0) + n_before, constant_liar=spec.jobs != 1
            )
            return optuna.create_study(
                direction="maximize" if mode == "max" else "minimize",
                sampler=sampler,
                pruner=pruner,
            )
    finally:
        optuna.logging.set_verbosity(verbosity)
