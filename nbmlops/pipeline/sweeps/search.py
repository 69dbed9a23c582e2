"""The runs that Optuna asks for, one after the other, and those it gives up."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.entities import Mode, Step, StepReport
from nbmlops.errors import UsageError, did_you_mean
from nbmlops.pipeline.runner.messages import Watch
from nbmlops.pipeline.runner.step_runs import StepRun
from nbmlops.pipeline.sweeps.history import Remembered, SearchHistory
from nbmlops.pipeline.sweeps.progress import Tally
from nbmlops.pipeline.sweeps.space import Space
from nbmlops.tracking.run.pruning import read_steps

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

PRUNERS = {
    "median": "MedianPruner",
    "halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "none": "NopPruner",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a search is done."""

    metric: str
    mode: Mode
    trials: int | None
    time_s: float | None
    seed: int
    jobs: int | None
    sampler: BaseSampler | None
    pruner: str | BasePruner

    def study(self, n_before: int) -> Study:
        """Return a study of Optuna's that goes on behind so many runs."""
        import optuna

        pruner: Any = self.pruner
        if isinstance(pruner, str):
            pruner = getattr(optuna.pruners, PRUNERS[pruner])()
        with _quiet():
            sampler = self.sampler or optuna.samplers.TPESampler(
                seed=self.seed + n_before, constant_liar=self.jobs != 1
            )
            return optuna.create_study(
                direction="maximize" if self.mode == "max" else "minimize",
                sampler=sampler,
                pruner=pruner,
            )


@dataclass(slots=True)
class _Open:
    """A run that goes on."""

    trial: Trial
    file: Path
    offset: int = 0
    steps: dict[int, float] = field(default_factory=dict)


class Search:
    """Feeds the runs of a search."""

    def __init__(
        self,
        step: Step,
        space: Space,
        plan: Plan,
        *,
        memory: SearchHistory,
        folder: Path,
        tally: Tally,
    ) -> None:
        self.units: list[StepRun] = []
        self.is_late = False
        self._step, self._space, self._plan = step, space, plan
        self._memory, self._folder, self._tally = memory, folder, tally
        self._end = math.inf
        if plan.time_s is not None:
            self._end = time.monotonic() + plan.time_s
        self._most = math.inf if plan.trials is None else plan.trials
        self._before = memory.trials[: plan.trials]
        self._study = plan.study(len(self._before))
        # A sampler that has nothing left to draw says so: it is in no loop of Optuna's.
        self._study.stop = self._stop  # type: ignore[method-assign]
        self._is_over = False
        self._open: dict[str, _Open] = {}
        self._metrics: set[str] = set()
        self.pruned_before = list(self._again())

    def _again(self) -> Iterator[StepReport]:
        """Have Optuna know what was searched before, under the same numbers."""
        from optuna.trial import TrialState, create_trial

        for each in self._before:
            if not each.is_pruned:
                self._study.enqueue_trial(each.params)  # most of them are kept
                continue
            report = self._report_of(each)
            self._tally.add(report, is_new=False)
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

    def _report_of(self, each: Remembered) -> StepReport:
        return StepReport(
            step=f"{self._step.name}[{each.number}]",
            state="pruned",
            why=each.why,
            run_id=each.run_id,
            params={**self._step.params, **self._space.decode(each.params)},
            metrics=each.metrics,
        )

    def next(self) -> StepRun | None:
        """Return the next set, while there is time and not all are asked for."""
        n = len(self.units) + len(self.pruned_before)
        self.is_late = n < self._most and time.monotonic() > self._end
        if n >= self._most or self.is_late or self._is_over:
            return None
        trial = self._study.ask(self._space.distributions)
        folder = self._folder / str(trial.number)
        folder.mkdir(parents=True, exist_ok=True)
        unit = StepRun(
            step=self._step,
            combo=self._space.decode(trial.params),
            label=str(trial.number),
            watch=Watch(folder=folder, metric=self._plan.metric),
        )
        self.units.append(unit)
        self._open[unit.name] = _Open(trial, folder / "steps")
        self._memory.note(Remembered(number=trial.number, params=trial.params))
        return unit

    def _stop(self) -> None:
        self._is_over = True

    def told(self, unit: StepRun, report: StepReport) -> None:
        """Have Optuna know what became of a run."""
        from optuna.trial import TrialState

        run = self._open.pop(unit.name)
        self._read(run)
        number = run.trial.number
        if report.state == "cached" and number < len(self._before):
            self._report(run, self._before[number].steps)
        value = report.metrics.get(self._plan.metric, math.nan)
        is_over = report.state in ("cached", "done")
        if is_over and math.isfinite(value):
            self._study.tell(run.trial, value)
        else:
            is_pruned = report.state == "pruned"
            state = TrialState.PRUNED if is_pruned else TrialState.FAIL
            self._study.tell(run.trial, state=state)
        self._memory.note(
            Remembered(
                number=number,
                params=run.trial.params,
                state="done" if is_over else report.state,
                steps=run.steps,
                why=report.why,
                run_id=report.run_id,
                metrics=dict(report.metrics),
            )
        )
        self._tally.add(report)
        if is_over:
            self._metrics |= set(report.metrics)
            self._check_metric()

    def _check_metric(self) -> None:
        metric, known = self._plan.metric, sorted(self._metrics)
        if metric not in known:
            raise UsageError(
                f"The run has no metric {metric!r} to search by."
                f"{did_you_mean(metric, known)}",
                fix=f"Log it, or search by one of: {', '.join(known) or 'none'}.",
            )

    def look(self) -> None:
        """Give up the runs that Optuna says are not worth going on."""
        for run in self._open.values():
            verdict = run.file.with_name("verdict")
            if not self._read(run) or verdict.exists():
                continue
            step = max(run.steps)
            # What is logged once, at the end, has no step but the 0 of all metrics.
            if step > 0 and run.trial.should_prune():
                value = f"{self._plan.metric}={run.steps[step]:.4g}"
                draft = verdict.with_name("draft")
                draft.write_text(f"pruned at step {step}, {value}", "utf-8")
                draft.replace(verdict)

    def _read(self, run: _Open) -> bool:
        """Have Optuna know the steps that came; return whether any did."""
        found, run.offset = read_steps(run.file, run.offset)
        return self._report(run, dict(found))

    @staticmethod
    def _report(run: _Open, steps: dict[int, float]) -> bool:
        new = {n: v for n, v in steps.items() if n >= 0 and n not in run.steps}
        for step, value in sorted(new.items()):
            run.trial.report(value, step)
        run.steps |= new
        return bool(new)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from saying that a study was made, and what is an experiment."""
    log = logging.getLogger("optuna")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
