"""What became of the steps of a run, those that were not begun included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from nbmlops.entities import PipelineSpec, Step, StepReport
from nbmlops.entities.pipeline import StepState
from nbmlops.pipeline.runner.step_runs import StepRun, units_of


class Outcomes:
    """Keeps the report of each unit."""

    def __init__(self, spec: PipelineSpec) -> None:
        self._spec = spec
        self._found: dict[str, dict[str, StepReport]] = {}

    def note(self, unit: StepRun, report: StepReport) -> bool:
        """Keep a report, and return whether all runs of its step have one."""
        found = self._found.setdefault(unit.step.name, {})
        found[unit.name] = report
        return len(found) == unit.step.n_runs

    def is_good(self, step: Step) -> bool:
        """Return whether no run of a step came to a bad end."""
        found = self._found.get(step.name, {}).values()
        return all(each.state in ("cached", "done") for each in found)

    def of_step(self, step: Step) -> list[StepReport]:
        """Return the reports of a step whose runs all have one, in order."""
        return [self._found[step.name][unit.name] for unit in units_of(step)]

    def of_all(
        self, units: Iterable[StepRun], *, was_interrupted: bool
    ) -> tuple[StepReport, ...]:
        """Return a report of every unit, in order."""
        return tuple(
            self._find(unit) or self._not_run(unit, was_interrupted) for unit in units
        )

    def lost(self, units: Iterable[StepRun]) -> list[StepRun]:
        """Return the units with no report of their own that no failure explains."""
        names = Counter(unit.name for unit in units)
        return [
            unit
            for unit in units
            if names[unit.name] > 1
            or (self._find(unit) is None and not self._failed_before(unit))
        ]

    def _find(self, unit: StepRun) -> StepReport | None:
        return self._found.get(unit.step.name, {}).get(unit.name)

    def _failed_before(self, unit: StepRun) -> list[str]:
        """Return the steps that failed, or were stopped, which a unit needs."""
        return [
            name
            for name in self._spec.upstream({unit.step.name})
            if not self.is_good(self._spec.step(name))
        ]

    def _not_run(self, unit: StepRun, was_interrupted: bool) -> StepReport:
        before = self._failed_before(unit)
        why = "interrupted" if was_interrupted else "another step failed"
        if before:
            why = f"it needs {', '.join(map(repr, sorted(before)))}, which failed"
        return ended(unit, "not run", why)


def ended(unit: StepRun, state: StepState, why: str) -> StepReport:
    """Return the report of a unit that came to no result."""
    return StepReport(step=unit.name, state=state, why=why)
