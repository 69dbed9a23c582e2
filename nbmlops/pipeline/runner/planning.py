"""What a run of a pipeline would do: each step's key, and if its result is kept."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

from nbmlops.config import Settings
from nbmlops.entities import PipelineSpec, PlannedStep, Step, StepReport
from nbmlops.entities.pipeline import PlanState
from nbmlops.errors import NbmlopsError, UsageError, did_you_mean
from nbmlops.execution.parameters.parameters import check_parameters, told
from nbmlops.pipeline.cache.keys import Keys, Parts, changes, key_of
from nbmlops.pipeline.cache.outputs import Outputs
from nbmlops.pipeline.cache.step_cache import Cache
from nbmlops.pipeline.runner.messages import ACTIONS
from nbmlops.pipeline.runner.once_record import Intent
from nbmlops.pipeline.runner.step_runs import StepRun, choose, units_of
from nbmlops.pipeline.spec.templates import render
from nbmlops.pipeline.spec.validation_context import NotebookSignature
from nbmlops.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether a unit has to run."""

    unit: StepRun
    params: Mapping[str, object]
    key: str
    parts: Parts
    why: str
    entry: dict[str, Any] | None
    is_forced: bool = False


class Planner:
    """Decides for the steps of a pipeline, those before a step being decided first."""

    def __init__(
        self,
        spec: PipelineSpec,
        looks: Mapping[str, NotebookSignature],
        settings: Settings,
        *,
        force: Collection[str] = (),
        only: str | None = None,
        store: Store | None = None,
    ) -> None:
        for name in force:
            known = [step.name for step in spec.steps]
            if name not in (*known, "*"):
                raise UsageError(
                    f"No step {name!r}.{did_you_mean(name, known)}",
                    fix=f"The steps are: {', '.join(known)}.",
                )
        self.spec, self._looks, self._force = spec, looks, frozenset(force)
        self._only, self._settings, self._store = only, settings, store
        self.folder = Path(spec.path).parent
        self.project, self.home = settings.project, settings.home
        self.keys = Keys(self.folder, settings.project, settings.home)
        self.cache = Cache(settings.home, self.keys.digests, shared=settings.cache)
        self.done: dict[str, StepReport] = {}
        self._key_of: dict[str, str] = {}
        self._made: dict[str, dict[str, str]] = {}
        self._gone: set[Path] = set()

    def params_of(self, unit: StepRun) -> dict[str, object]:
        """Return what a unit's notebook is given, templates filled in."""
        look = self._looks.get(unit.step.name)
        declared = (look.declared if look else None) or {}
        shared = {k: v for k, v in self.spec.params.items() if k in declared}
        given = {**shared, **unit.step.params, **unit.combo}
        values = {name: render(value, self.done) for name, value in given.items()}
        return check_parameters(look.declared if look else None, values)

    def all_params(self, decision: Decision) -> dict[str, object]:
        """Return the same with literal defaults, and secrets by their names."""
        look = self._looks.get(decision.unit.step.name)
        declared = (look.declared if look else None) or {}
        defaults = {p.name: p.default for p in declared.values() if p.is_literal}
        return {name: told(v) for name, v in {**defaults, **decision.params}.items()}

    def decide(self, unit: StepRun) -> Decision:
        """Return whether a unit has to run, those before its step being done."""
        step = unit.step
        params = self.params_of(unit) if step.notebook else {}
        made = {k: v for n in step.needs for k, v in self._made.get(n, {}).items()}
        told = params
        if step.action is not None and step.action.source is not None:
            source = self.done[step.action.source]
            told = {"run": source.model_run_id or source.run_id}
        parts = self.keys.parts(
            step,
            told,
            upstream={name: self._key_of[name] for name in step.needs},
            made=made,
            gone=self._gone,
            slot=self.slot(unit),
        )
        key = key_of(parts)
        entry = self.cache.find(key, self.outputs(step))
        why = f"as made by run {(entry or {}).get('run_id')}"
        is_given = self._only not in (None, step.name)
        is_named = step.name in self._force
        is_forced = is_named or ("*" in self._force and not step.once)
        if is_forced and not is_given:
            entry, why = None, "forced"
        elif not step.cache and not is_given:
            entry, why = None, "its cache is off"
        elif entry is not None and (gap := self._gap(step, entry)):
            entry, why, is_forced = None, gap, True
        elif entry is None:
            why = self._why(unit, key, parts)
            intent = Intent(self.home, key)
            if step.once and not intent.is_under_way():
                intent.effect(step, self.folder)
        return Decision(
            unit=unit,
            params=params,
            key=key,
            parts=parts,
            why=why,
            entry=entry,
            is_forced=is_forced,
        )

    def outputs(self, step: Step) -> Outputs:
        """Return the outputs of a step."""
        return self.cache.outputs(step, self.folder)

    def _gap(self, step: Step, entry: Mapping[str, Any]) -> str:
        """Return what is not as a step left it outside of files, or ""."""
        if step.action is None or step.once:
            return ""
        source = self.done[step.action.source] if step.action.source else None
        values = entry.get("values", {})
        found: str = import_module(ACTIONS).gap(
            step.action, source, values, self._settings, self._store
        )
        return found

    def _why(self, unit: StepRun, key: str, parts: Parts) -> str:
        last = self.cache.last(self.slot(unit))
        if last is None:
            return "not run before"
        if last["key"] == key:
            return f"its result {self.cache.refused.get(key, 'is not kept any more')}"
        return changes(last["parts"], parts) or "it was made by another version"

    def remember(self, decision: Decision) -> None:
        """Have the next run compare with this result, which is kept."""
        slot = self.slot(decision.unit)
        if (self.cache.last(slot) or {}).get("key") != decision.key:
            took_s = (decision.entry or {}).get("duration_s", 0.0)
            self.cache.set_last(slot, decision.key, decision.parts, took_s)

    def slot(self, unit: StepRun) -> str:
        """Return what names a unit among all of the project."""
        path = os.path.relpath(self.spec.path, self.project)
        values = str(dict(unit.combo)) if unit.label else ""
        return f"{path}\0{unit.name}{values}"

    def settle(self, step: Step, keys: list[str], report: StepReport) -> None:
        """Note what a step came to, for those behind it."""
        joined = sha256(" ".join(keys).encode()).hexdigest()
        self._key_of[step.name] = keys[0] if len(keys) == 1 else joined
        self.done[step.name] = report

    def plan(self) -> tuple[PlannedStep, ...]:
        """Return what a run would do with each unit, in order."""
        planned: list[PlannedStep] = []
        runs: dict[str, PlanState] = {}
        for step in self.spec.steps:
            before = [name for name in step.needs if name in runs]
            units = list(units_of(step))
            if before:
                sure = [name for name in before if runs[name] == "run"]
                state: PlanState = "run" if sure else "open"
                which = ", ".join(map(repr, sure or before))
                why = f"behind {which}, which run{'s' * (len(sure or before) == 1)}"
                if not sure:
                    why = f"depends on what {which} make{'s' * (len(before) == 1)}"
                runs[step.name] = state
                planned += [
                    PlannedStep(step=u.name, state=state, why=why) for u in units
                ]
                continue
            decisions = [self._decide_safely(unit) for unit in units]
            sound = [each for each in decisions if isinstance(each, Decision)]
            whys = [d.why if isinstance(d, Decision) else d for d in decisions]
            problem = ""
            if len(sound) < len(units) or not all(each.entry for each in sound):
                is_known = all(
                    self.cache.find(each.key, self.outputs(step)) is not None
                    for each in sound
                    if each.entry is None
                )
                is_same = len(sound) == len(units) and is_known
                runs[step.name] = "open" if is_same else "run"
            else:
                chosen, problem, note = self._settle_cached(step, sound)
                whys[chosen] = problem or f"{whys[chosen]}{note}"
                if problem:
                    runs[step.name] = "run"
            for n, (unit, found) in enumerate(zip(units, decisions, strict=True)):
                entry = found.entry if isinstance(found, Decision) else None
                is_cached = entry is not None and not (problem and n == chosen)
                planned.append(
                    PlannedStep(
                        step=unit.name,
                        state="cached" if is_cached else "run",
                        why=whys[n],
                        run_id=entry.get("run_id") if entry and is_cached else None,
                    )
                )
        return tuple(planned)

    def _decide_safely(self, unit: StepRun) -> Decision | str:
        try:
            return self.decide(unit)
        except NbmlopsError as error:
            return f"will fail: {error.problem}"

    def _settle_cached(
        self, step: Step, decisions: list[Decision]
    ) -> tuple[int, str, str]:
        """Note what is put back; return of which unit, why it cannot be, and a note."""
        reports = [self.report_of(each) for each in decisions]
        chosen = choose(step, reports)
        outputs, entry = self.outputs(step), decisions[chosen].entry or {}
        note = ""
        if self.puts_back(step):
            try:
                changes = outputs.compare(entry["outputs"])
            except (NbmlopsError, OSError) as error:
                problem = getattr(error, "problem", f"{error}.")
                return chosen, f"will fail: {problem}", ""
            if not self.cache.has_all(changes):
                return chosen, "its files are gone", ""
            self._made[step.name] = {
                name: kept["sha256"] for name, kept in entry["outputs"].items()
            }
            self._gone |= {*changes.stale}
            if changes.others:
                note = f"; leaves alone {outputs.named(changes.others)}"
        self.settle(step, [each.key for each in decisions], reports[chosen])
        return chosen, "", note

    @staticmethod
    def puts_back(step: Step) -> bool:
        """Return whether a kept result of a step comes back as files."""
        return not step.grid or step.select is not None

    def report_of(self, decision: Decision) -> StepReport:
        """Return a result that is kept, as if its unit had run."""
        entry = decision.entry or {}
        return StepReport(
            step=decision.unit.name,
            state="cached",
            why=decision.why,
            run_id=entry.get("run_id"),
            values=entry.get("values", {}),
            metrics=entry.get("metrics", {}),
            params=self.all_params(decision),
            model_id=entry.get("model_id"),
            model_run_id=entry.get("model_run_id"),
            outputs=tuple(entry.get("outputs", ())),
        )
