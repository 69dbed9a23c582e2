"""Each step's key, if its result is cached, and what the steps behind it see."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import Timeout

from nbmlops.config import Settings
from nbmlops.entities import PipelineSpec, Step, StepReport
from nbmlops.errors import UsageError, did_you_mean
from nbmlops.execution.parameters.parameters import check_parameters, secrets_by_name
from nbmlops.pipeline.cache.keys import Keys, Parts, changes, key_of
from nbmlops.pipeline.cache.outputs import Outputs, lock_outputs
from nbmlops.pipeline.cache.step_cache import Cache
from nbmlops.pipeline.runner.once_record import OnceRecord
from nbmlops.pipeline.runner.step_runs import (
    Actions,
    Decision,
    StepRun,
    choose,
    entry_report,
)
from nbmlops.pipeline.spec.draft import NotebookSignature
from nbmlops.pipeline.spec.templates import render
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
        self.only, self._settings, self._store = only, settings, store
        self.actions = actions
        self.folder = Path(spec.path).parent
        self.project, self.home = settings.project, settings.home
        self.keys = Keys(self.folder, settings.project, settings.home)
        self.cache = Cache(settings.home, self.keys.digests, shared=settings.cache)
        self._reset()

    def _reset(self) -> None:
        self.notes: list[str] = []
        self.done: dict[str, StepReport] = {}
        self.made: dict[str, dict[str, str]] = {}
        self.gone: set[Path] = set()
        self._key_of: dict[str, str] = {}

    def copy(self) -> Planner:
        """Return a planner of the same pipeline, for which no step is done."""
        found = copy(self)
        found._reset()
        return found

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
            made={k: v for n in step.needs for k, v in self.made.get(n, {}).items()},
            gone=self.gone,
            step_id=step_id,
        )
        key = key_of(parts)
        entry = self.cache.find(key, self.outputs(step))
        why = f"as made by run {(entry or {}).get('run_id')}"
        is_needed_only = self.only not in (None, step.name)
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

    def step_id(self, step_run: StepRun) -> str:
        """Return what names a step run among all of the project."""
        path = os.path.relpath(self.spec.path, self.project)
        values = str(dict(step_run.combo)) if step_run.label else ""
        return f"{path}\0{step_run.name}{values}"

    def restore(self, decision: Decision) -> Decision:
        """Restore a cached result; return the decision without it if that fails."""
        step, entry = decision.step_run.step, decision.entry
        if entry is None:
            return decision
        why = ""
        try:
            # Of a grid, the selected one is restored when all are there.
            if not step.grid and not self._put_back(entry, step, timeout_s=0):
                why = "its files are gone"
        except Timeout:  # a worker can wait
            why = "another run is at its files"
        except OSError as error:
            self.notes.append(f"{decision.step_run.name} was not put back: {error}")
            why = "its files cannot be put back"
        if why:
            return replace(decision, entry=None, why=why)
        # The next run compares with this result.
        if (self.cache.last(decision.step_id) or {}).get("key") != decision.key:
            took_s = entry.get("duration_s", 0.0)
            self.cache.set_last(decision.step_id, decision.key, decision.parts, took_s)
        return decision

    def _put_back(
        self, entry: Mapping[str, Any], step: Step, *, timeout_s: float = -1
    ) -> bool:
        outputs = self.outputs(step)
        with lock_outputs(self.home, self.folder, step, timeout_s=timeout_s):
            others = self.cache.restore(entry, outputs)
        self.notes += outputs.left_alone(others or ())
        return others is not None

    def complete(
        self,
        step: Step,
        decisions: Sequence[Decision],
        reports: list[StepReport],
        entries: Mapping[str, dict[str, Any] | None] | None = None,
    ) -> int:
        """Note how a step ended, for those behind it; return which run they see.

        The files of the selected run of a grid are restored, when there are entries.
        """
        chosen = choose(step, reports)
        if step.grid and step.select is not None and entries is not None:
            name = reports[chosen].step
            entry = entries.get(name, decisions[chosen].entry)
            if entry is None or not self._put_back(entry, step):
                raise UsageError(
                    f"The files of {name!r}, the selected one, are not in the cache.",
                    fix=f"See that it can be written, then force step {step.name!r}.",
                )
        keys = [each.key for each in decisions]
        joined = sha256(" ".join(keys).encode()).hexdigest()
        self._key_of[step.name] = keys[0] if len(keys) == 1 else joined
        self.done[step.name] = reports[chosen]
        return chosen

    def report_of(self, decision: Decision) -> StepReport:
        """Return a cached result, as if its step had run."""
        assert decision.entry is not None  # noqa: S101 - it is cached
        name, why = decision.step_run.name, decision.why
        report = entry_report(name, decision.entry, state="cached", why=why)
        return replace(report, params=self.all_params(decision))


def _check_names(spec: PipelineSpec, names: Iterable[str], what: str = "") -> None:
    known = [step.name for step in spec.steps]
    for name in names:
        if name not in known:
            raise UsageError(
                f"No step {name!r}{what}.{did_you_mean(name, known)}",
                fix=f"The steps are: {', '.join(known)}.",
            )
