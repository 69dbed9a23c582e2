"""How the step runs of a run end, those that were not begun included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from nbmlops.entities import PipelineSpec, Step, StepReport
from nbmlops.pipeline.runner.step_runs import StepRun, step_runs_of


class Reports:
    """Keeps the report of each step run."""

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
