"""What a run of a pipeline would do: each step's key, and if its result is cached."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from nbmlops.config import Settings
from nbmlops.entities import PipelineSpec, PlannedStep, Step, StepReport
from nbmlops.entities.pipeline import PlanState
from nbmlops.errors import NbmlopsError, UsageError, did_you_mean
from nbmlops.execution.parameters.parameters import check_parameters, secrets_by_name
from nbmlops.pipeline.cache.keys import Keys, Parts, changes, key_of
from nbmlops.pipeline.cache.outputs import Outputs
from nbmlops.pipeline.cache.step_cache import Cache
from nbmlops.pipeline.runner.once_record import OnceRecord
from nbmlops.pipeline.runner.step_runs import (
    Actions,
    Decision,
    StepRun,
    choose,
    step_runs_of,
)
from nbmlops.pipeline.spec.templates import render
from nbmlops.pipeline.spec.validation_context import NotebookSignature
from nbmlops.store import Store


class Planner:
    """Decides for the steps of a pipeline, in the order of their needs.

    With ``only``, for one step and those it needs, which must be done.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        signatures: Mapping[str, NotebookSignature],
        settings: Settings,
        *,
        force: Collection[str] = (),
        only: str | None = None,
        store: Store | None = None,
        actions: Actions | None = None,
    ) -> None:
        _check_names(spec, set(force) - {"*"})
        if only is not None:
            _check_names(spec, [only], " to run")
            wanted = {only} | spec.upstream({only})
            steps = tuple(step for step in spec.steps if step.name in wanted)
            spec = replace(spec, steps=steps)
        self.spec, self._signatures, self._force = spec, signatures, frozenset(force)
        self._only, self._settings, self._store = only, settings, store
        self.actions = actions
        self.folder = Path(spec.path).parent
        self.project, self.home = settings.project, settings.home
        self.keys = Keys(self.folder, settings.project, settings.home)
        self.cache = Cache(settings.home, self.keys.digests, shared=settings.cache)
        self._reset()
        if only is not None:
            self._check_needs(only)

    def _reset(self) -> None:
        self.done: dict[str, StepReport] = {}
        self._key_of: dict[str, str] = {}
        self._made: dict[str, dict[str, str]] = {}
        self._gone: set[Path] = set()

    def _check_needs(self, only: str) -> None:
        for planned in self.plan():
            name = planned.step.partition("[")[0]
            if name != only and planned.state != "cached":
                raise UsageError(
                    f"Step {only!r} needs {planned.step!r}, which is not done: "
                    f"{planned.why}.",
                    fix=f"Run that first, with step={name!r}.",
                )
        self._reset()

    def _declared(self, step: Step) -> Mapping[str, Any] | None:
        signature = self._signatures.get(step.name)
        return signature.declared if signature else None

    def params_of(self, step_run: StepRun) -> dict[str, object]:
        """Return what the notebook is given, templates filled in."""
        step, declared = step_run.step, self._declared(step_run.step)
        shared = {k: v for k, v in self.spec.params.items() if k in (declared or {})}
        given = {**shared, **step.params, **step_run.combo}
        values = {name: render(value, self.done) for name, value in given.items()}
        return check_parameters(declared, values)

    def all_params(self, decision: Decision) -> dict[str, object]:
        """Return the same with literal defaults, and secrets by their names."""
        declared = self._declared(decision.step_run.step) or {}
        defaults = {p.name: p.default for p in declared.values() if p.is_literal}
        return {
            name: secrets_by_name(v)
            for name, v in {**defaults, **decision.params}.items()
        }

    def decide(self, step_run: StepRun) -> Decision:
        """Return whether it has to run; the steps before its step are done."""
        step, step_id = step_run.step, self.step_id(step_run)
        params = self.params_of(step_run) if step.notebook else {}
        key_params: Mapping[str, object] = params
        if step.action is not None and step.action.source is not None:
            source = self.done[step.action.source]
            key_params = {"run": source.model_run_id or source.run_id}
        parts = self.keys.parts(
            step,
            key_params,
            upstream={name: self._key_of[name] for name in step.needs},
            made={k: v for n in step.needs for k, v in self._made.get(n, {}).items()},
            gone=self._gone,
            step_id=step_id,
        )
        key = key_of(parts)
        entry = self.cache.find(key, self.outputs(step))
        why = f"as made by run {(entry or {}).get('run_id')}"
        is_needed_only = self._only not in (None, step.name)
        is_forced = step.name in self._force or ("*" in self._force and not step.once)
        if is_forced and not is_needed_only:
            entry, why = None, "forced"
        elif not step.cache and not is_needed_only:
            entry, why = None, "its cache is off"
        elif entry is not None and (gap := self._gap(step, entry)):
            entry, why, is_forced = None, gap, True
        elif entry is None:
            why = self._why(step_id, key, parts)
            record = OnceRecord(self.home, key)
            if step.once and not record.is_under_way():
                record.find_completed(step, self.folder)
        return Decision(
            step_run=step_run,
            step_id=step_id,
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
        if step.action is None or step.once or self.actions is None:
            return ""
        source = self.done[step.action.source] if step.action.source else None
        return self.actions.find_gap(
            step.action, source, entry.get("values", {}), self._settings, self._store
        )

    def _why(self, step_id: str, key: str, parts: Parts) -> str:
        last = self.cache.last(step_id)
        if last is None:
            return "not run before"
        if last["key"] == key:
            return f"its result {self.cache.refused.get(key, 'is not kept any more')}"
        return changes(last["parts"], parts) or "it was made by another version"

    def remember(self, decision: Decision) -> None:
        """Have the next run compare with this result, which is cached."""
        if (self.cache.last(decision.step_id) or {}).get("key") != decision.key:
            took_s = (decision.entry or {}).get("duration_s", 0.0)
            self.cache.set_last(decision.step_id, decision.key, decision.parts, took_s)

    def step_id(self, step_run: StepRun) -> str:
        """Return what names a step run among all of the project."""
        path = os.path.relpath(self.spec.path, self.project)
        values = str(dict(step_run.combo)) if step_run.label else ""
        return f"{path}\0{step_run.name}{values}"

    def complete(self, step: Step, keys: list[str], report: StepReport) -> None:
        """Note how a step ended, for the steps behind it."""
        joined = sha256(" ".join(keys).encode()).hexdigest()
        self._key_of[step.name] = keys[0] if len(keys) == 1 else joined
        self.done[step.name] = report

    def plan(self) -> tuple[PlannedStep, ...]:
        """Return what a run would do with each step run, in order."""
        planned: list[PlannedStep] = []
        pending: dict[str, PlanState] = {}
        for step in self.spec.steps:
            before = [name for name in step.needs if name in pending]
            if before:
                state, why = _behind(before, pending)
                pending[step.name] = state
                planned += [
                    PlannedStep(step=each.name, state=state, why=why)
                    for each in step_runs_of(step)
                ]
                continue
            state, steps = self._plan_step(step)
            planned += steps
            if state != "cached":
                pending[step.name] = state
        return tuple(planned)

    def _plan_step(self, step: Step) -> tuple[PlanState, list[PlannedStep]]:
        """Return if the steps behind a step are known, and what its runs would do."""
        step_runs = list(step_runs_of(step))
        decisions = [self._decide_safely(each) for each in step_runs]
        sound = [each for each in decisions if isinstance(each, Decision)]
        state: PlanState = "cached"
        problem = note = ""
        chosen = 0
        if len(sound) == len(decisions) and all(each.entry for each in sound):
            chosen, problem, note = self._complete_cached(step, sound)
            state = "run" if problem else "cached"
        else:
            is_same = len(sound) == len(decisions) and all(
                each.entry or self.cache.find(each.key, self.outputs(step))
                for each in sound
            )
            state = "open" if is_same else "run"
        planned = []
        for n, (step_run, found) in enumerate(zip(step_runs, decisions, strict=True)):
            why = found.why if isinstance(found, Decision) else found
            entry = found.entry if isinstance(found, Decision) else None
            if n == chosen:
                why = problem or f"{why}{note}"
                entry = None if problem else entry
            planned.append(
                PlannedStep(
                    step=step_run.name,
                    state="cached" if entry else "run",
                    why=why,
                    run_id=entry.get("run_id") if entry else None,
                )
            )
        return state, planned

    def _decide_safely(self, step_run: StepRun) -> Decision | str:
        try:
            return self.decide(step_run)
        except NbmlopsError as error:
            return f"will fail: {error.problem}"

    def _complete_cached(
        self, step: Step, decisions: list[Decision]
    ) -> tuple[int, str, str]:
        """Note what is restored; return of which run, why it cannot be, and a note."""
        reports = [self.report_of(each) for each in decisions]
        chosen, note = 0, ""
        try:
            chosen = choose(step, reports)
            if not step.grid or step.select is not None:  # its files are restored
                wanted = (decisions[chosen].entry or {})["outputs"]
                outputs = self.outputs(step)
                found = outputs.compare(wanted)
                if not self.cache.has_all(found):
                    return chosen, "its files are gone", ""
                self._made[step.name] = {n: f["sha256"] for n, f in wanted.items()}
                self._gone |= {*found.stale}
                if found.others:
                    note = f"; leaves alone {outputs.named(found.others)}"
        except (NbmlopsError, OSError) as error:
            problem = getattr(error, "problem", f"{error}.")
            return chosen, f"will fail: {problem}", ""
        self.complete(step, [each.key for each in decisions], reports[chosen])
        return chosen, "", note

    def report_of(self, decision: Decision) -> StepReport:
        """Return a cached result, as if its step had run."""
        entry = decision.entry or {}
        return StepReport(
            step=decision.step_run.name,
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


def _check_names(spec: PipelineSpec, names: Iterable[str], what: str = "") -> None:
    known = [step.name for step in spec.steps]
    for name in names:
        if name not in known:
            raise UsageError(
                f"No step {name!r}{what}.{did_you_mean(name, known)}",
                fix=f"The steps are: {', '.join(known)}.",
            )


def _behind(
    before: list[str], pending: Mapping[str, PlanState]
) -> tuple[PlanState, str]:
    """Return the state of a step behind others that may run, and why."""
    sure = [name for name in before if pending[name] == "run"]
    which = ", ".join(map(repr, sure or before))
    verb_end = "s" * (len(sure or before) == 1)
    if sure:
        return "run", f"behind {which}, which run{verb_end}"
    return "open", f"depends on what {which} make{verb_end}"
