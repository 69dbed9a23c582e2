"""A pipeline, run: what is ready starts, what is kept is put back."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from filelock import Timeout

from nbmlops.engines import Engine, WorkerExited
from nbmlops.entities import PipelineReport, RunStatus, Step, StepReport
from nbmlops.errors import ConflictError, NbmlopsError, UsageError
from nbmlops.execution.progress import reader
from nbmlops.execution.progress.writer import ProgressWriter
from nbmlops.pipeline.cache.outputs import lock_outputs
from nbmlops.pipeline.runner.messages import Failure, Reply, Task
from nbmlops.pipeline.runner.outcomes import Outcomes, ended
from nbmlops.pipeline.runner.planning import Decision, Planner
from nbmlops.pipeline.runner.retries import Retries
from nbmlops.pipeline.runner.run_recorder import RunRecorder
from nbmlops.pipeline.runner.step_run_source import StepRunSource
from nbmlops.pipeline.runner.step_runs import StepRun, choose, units_of
from nbmlops.pipeline.runner.worker_pool import WorkerPool
from nbmlops.tracking.run.status import status_of

_GRACE_S = 30.0  # in which a step whose time is up ends by itself
Say = Callable[[str], None]


class Runner:
    """Runs a pipeline once."""

    def __init__(
        self,
        planner: Planner,
        recording: RunRecorder,
        *,
        engine: Engine,
        worker: str,
        jobs: int | None,
        keep_going: bool,
        retries: bool,
        say: Say,
        live: ProgressWriter | None = None,
        feed: StepRunSource | None = None,
    ) -> None:
        self._planner, self._recording = planner, recording
        self._engine, self._jobs = engine, jobs
        self._keep_going, self._may_retry, self._say = keep_going, retries, say
        self._spec = planner.spec
        self._feed = feed
        self._live = live or reader.begin(
            recording.settings.home,
            kind="sweep" if feed else "pipeline",
            path=os.path.relpath(planner.spec.path, planner.project),
        )
        self._waiting: list[Step] = [] if feed else list(self._spec.steps)
        self._decisions: dict[str, list[Decision]] = {}
        self._outcomes = Outcomes(planner.spec)
        self._entries: dict[str, Reply] = {}
        self._ready: deque[Decision] = deque()
        self._retries = Retries()
        self._crew: WorkerPool[Decision] = WorkerPool(
            engine, worker, recording.environment
        )
        self._has_failed = self._has_told = self.may_pass = False
        self._notes: list[str] = []
        self._began = time.monotonic()

    @property
    def was_interrupted(self) -> bool:
        """Whether somebody wanted it to end."""
        return self._crew.n_interrupts > 0

    def run(self) -> PipelineReport:
        """Run all that has to run, and return what became of each step."""
        if self._feed is None:
            self._live.expect(unit.name for unit in self._units())
        with self._crew:
            try:
                self._loop()
                self._account()
            except BaseException as error:
                self._recording.abandon(error)
                self._live.end(status_of(error), problem=str(error))
                raise
        self._recording.has_orphans |= self._crew.has_lost
        return self._finish()

    def _loop(self) -> None:
        while True:
            self._expand()
            self._dispatch()
            self._live.flush()
            self._recording.tend()
            has_left = self._ready or self._retries
            if not self._crew.n_busy and (self._is_ending or not has_left):
                return
            pause_s = float("inf") if self._is_ending else self._retries.wait_s
            for decision, answer in self._crew.wait(pause_s):
                self._take_answer(decision, answer)
            self._tell_of_interrupt()
            if self._feed is not None:
                self._feed.look()

    def _account(self) -> None:
        """Fail the units that had to run and of which nothing is known.

        There are none, unless the runner itself is wrong; then it must not be silent.
        """
        is_late = self._feed is not None and self._feed.is_late
        if self._is_ending or is_late:
            return
        for unit in self._outcomes.lost(self._units()):
            self._fail(
                unit,
                "It was not run, though nothing kept it from that: this is a fault of "
                "nbmlops. Run the same command again.",
            )

    def _units(self) -> list[StepRun]:
        """Return all that there were to be, in order."""
        if self._feed is not None:
            return list(self._feed.units)
        return [unit for step in self._spec.steps for unit in units_of(step)]

    def _tell_of_interrupt(self) -> None:
        n = self._crew.n_busy
        if self._crew.n_interrupts == 1 and n and not self._has_told:
            self._has_told = True
            self._say(
                f"Interrupted: waiting for {n} running step{'s' * (n > 1)}; "
                "interrupt again to stop."
            )

    @property
    def _is_ending(self) -> bool:
        return self.was_interrupted or (self._has_failed and not self._keep_going)

    def _expand(self) -> None:
        """Decide for the steps whose needs are done."""
        while self._has_room and self._feed and (unit := self._feed.next()):
            self._begin(unit.step, [unit])
        is_moving = True
        while is_moving and not self._is_ending:
            is_moving = False
            for step in list(self._waiting):
                if all(name in self._planner.done for name in step.needs):
                    self._waiting.remove(step)
                    self._begin(step, units_of(step))
                    is_moving = True

    @property
    def _has_room(self) -> bool:
        n = self._crew.n_busy + len(self._ready) + len(self._retries)
        return n < self._n_jobs and not self._is_ending

    @property
    def _n_jobs(self) -> int:
        return self._jobs or self._engine.n_jobs

    def _begin(self, step: Step, units: Iterable[StepRun]) -> None:
        decisions = self._decisions.setdefault(step.name, [])
        n_before = len(decisions)
        for unit in units:
            try:
                decision = self._planner.decide(unit)
            except NbmlopsError as error:
                self._fail(unit, error.summary)
                continue
            decisions.append(decision)
        for decision in decisions[n_before:]:
            try:
                why = decision.why if decision.entry is None else self._gap(decision)
            except ConflictError as error:
                self._fail(decision.unit, f"{error.problem} {error.fix}")
                continue
            if decision.entry is not None and not why:
                self._planner.remember(decision)
                report = self._planner.report_of(decision)
                self._say(f"{report.step}: cached, {report.why}")
                self._recording.hit(report, step.notebook, decision.key)
                self._note(decision.unit, report)
            else:
                self._ready.append(replace(decision, entry=None, why=why))

    def _gap(self, decision: Decision) -> str:
        """Put a kept result back, and return why it could not be, or ""."""
        step = decision.unit.step
        if step.grid:  # the selected one is put back when all are there
            return ""
        assert decision.entry is not None  # noqa: S101
        try:
            is_back = self._restore(decision.entry, step, timeout_s=0)
        except Timeout:  # a worker can wait
            return "another run is at its files"
        except OSError as error:
            self._notes.append(f"{decision.unit.name} was not put back: {error}")
            return "its files cannot be put back"
        return "" if is_back else "its files are gone"

    def _restore(
        self, entry: Mapping[str, Any], step: Step, *, timeout_s: float = -1
    ) -> bool:
        home, outputs = self._planner.home, self._planner.outputs(step)
        with lock_outputs(home, self._planner.folder, step, timeout_s=timeout_s):
            others = self._planner.cache.restore(entry, outputs)
        self._notes += outputs.left_alone(others or ())
        return others is not None

    def _dispatch(self) -> None:
        if self._is_ending:
            return
        self._ready.extend(self._retries.take_due())
        while self._ready and self._crew.n_busy < self._n_jobs:
            self._crew.prestart()  # while the run above is made
            self._recording.open()
            decision = self._ready.popleft()
            name = decision.unit.name
            self._retries.begin(name)
            self._say(f"{name}: running, {decision.why}")
            last = self._planner.cache.last(self._planner.slot(decision.unit)) or {}
            self._live.start(name, decision.why, last.get("duration_s"))
            timeout_s = decision.unit.step.timeout_s
            limit_s = timeout_s and timeout_s + _GRACE_S
            self._crew.submit(decision, self._task(decision), limit_s=limit_s)

    def _task(self, decision: Decision) -> Task:
        unit, planner = decision.unit, self._planner
        source = unit.step.action.source if unit.step.action else None
        return Task(
            settings=self._recording.settings,
            folder=planner.folder,
            pipeline=self._spec.name,
            slot=planner.slot(unit),
            step=unit.step,
            name=unit.name,
            params=decision.params,
            key=decision.key,
            parts=decision.parts,
            upstream=decision.parts["upstream"],
            why=decision.why,
            may_be_cached=unit.step.cache and not decision.is_forced,
            experiment=self._spec.experiment,
            context=self._recording.context(unit.name, f"miss: {decision.why}"),
            jobs=min(
                self._n_jobs,
                self._engine.jobs_per_machine,
                self._crew.n_busy + len(self._ready) + 1,
            ),
            source=planner.done.get(source) if source else None,
            watch=unit.watch,
            live=self._live.folder,
            keeps_notebook=self._live.keeps_notebooks,
        )

    def _take_answer(self, decision: Decision, answer: object) -> None:
        if isinstance(answer, WorkerExited):
            unit = decision.unit
            if self._crew.n_interrupts > 1:
                self._note(unit, ended(unit, "stopped", "interrupted"))
                return
            failure: Failure = "timeout" if answer.was_late else "died"
            problem = f"The process of {unit.name} ended: {answer}."
            if answer.was_late:
                problem = f"{unit.name} did not end within its time limit."
            report = ended(unit, "failed", problem)
            answer = Reply(report=report, failure=failure)
        assert isinstance(answer, Reply)  # noqa: S101 - our own worker's
        self._settle_unit(decision, answer)

    def _settle_unit(self, decision: Decision, reply: Reply) -> None:
        unit, name = decision.unit, decision.unit.name
        attempts, why = self._retries.n_attempts(name), reply.report.why
        self._notes += reply.notes
        if reply.failure is not None:
            pause_s = self._retries.pause_s(unit.step, name, reply.failure)
            if pause_s is None or not self._may_retry:
                self.may_pass |= pause_s is not None
                self._fail(unit, why, reply.report.run_id)
                return
            self._say(f"{name}: {why} Again in {pause_s:g} s.")
            again = replace(decision, why=f"attempt {attempts + 1}, after: {why}")
            self._live.set(name, state="waiting", why=again.why, began_at=None)
            self._retries.put(again, pause_s)
            return
        report = replace(
            reply.report, attempts=attempts, params=self._planner.all_params(decision)
        )
        took = "kept meanwhile" if report.state == "cached" else report.state
        self._say(f"{name}: {took} in {report.duration_s:.1f} s, run {report.run_id}")
        self._entries[name] = reply
        self._note(unit, report)

    def _fail(self, unit: StepRun, problem: str, run_id: str | None = None) -> None:
        self._has_failed = True
        self._say(f"{unit.name}: failed. {problem}")
        report = ended(unit, "failed", problem)
        attempts = self._retries.n_attempts(unit.name)
        self._note(unit, replace(report, run_id=run_id, attempts=attempts))
        if run_id is None:
            self._recording.tell(unit.name, problem)

    def _note(self, unit: StepRun, report: StepReport) -> None:
        is_whole = self._outcomes.note(unit, report)
        self._live.settle(report)
        if self._feed is not None:
            self._feed.told(unit, report)
        elif is_whole:
            self._settle(unit.step)

    def _settle(self, step: Step) -> None:
        """Let the steps behind a step see what it came to."""
        if step.name in self._planner.done or not self._outcomes.is_good(step):
            return
        decisions = self._decisions[step.name]
        if len(decisions) < step.n_runs:
            return
        ordered = self._outcomes.of_step(step)
        try:
            chosen = choose(step, ordered)
            if step.grid and step.select is not None:
                self._put_back_selected(step, decisions[chosen], ordered[chosen])
        except NbmlopsError as error:
            first = decisions[0].unit
            self._fail(first, error.summary)
            return
        if step.select is not None:
            for n, (each, report) in enumerate(zip(decisions, ordered, strict=True)):
                self._outcomes.note(each.unit, replace(report, is_selected=n == chosen))
                self._live.set(report.step, is_selected=n == chosen)
            self._recording.select(step.name, ordered[chosen])
        self._planner.settle(step, [each.key for each in decisions], ordered[chosen])

    def _put_back_selected(
        self, step: Step, decision: Decision, report: StepReport
    ) -> None:
        reply = self._entries.get(report.step)
        entry = decision.entry if reply is None else reply.entry
        if entry is None or not self._restore(entry, step):
            raise UsageError(
                f"The files of {report.step!r}, the selected one, are not in the "
                "cache.",
                fix=f"See that it can be written, then force step {step.name!r}.",
            )

    def _finish(self) -> PipelineReport:
        status: RunStatus = "FAILED" if self._has_failed else "FINISHED"
        if self.was_interrupted:
            status = "KILLED"
        steps = self._outcomes.of_all(
            self._units(), was_interrupted=self.was_interrupted
        )
        report = PipelineReport(
            pipeline=self._spec.name,
            run_id=self._recording.run_id,
            status=status,
            duration_s=time.monotonic() - self._began,
            steps=steps,
            notes=tuple(dict.fromkeys(self._notes)),
        )
        notes = self._recording.end(report)
        for each in steps:
            self._live.settle(each)
        failed = " ".join(f"{s.step}: {s.why}" for s in steps if s.state == "failed")
        self._live.end(
            status,
            run_id=self._recording.run_id,
            problem=failed,
            fix="Fix it and run it again: it continues from what is done."
            if failed
            else "",
        )
        return replace(
            report, run_id=self._recording.run_id, notes=(*report.notes, *notes)
        )
