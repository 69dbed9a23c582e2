"""A pipeline, run: what is ready starts, what is cached is restored."""

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
from nbmlops.pipeline.runner import worker_process
from nbmlops.pipeline.runner.planner import Planner
from nbmlops.pipeline.runner.reports import Reports
from nbmlops.pipeline.runner.retries import Retries
from nbmlops.pipeline.runner.run_recorder import RunRecorder
from nbmlops.pipeline.runner.step_runs import (
    Decision,
    Failure,
    Reply,
    StepRun,
    StepRunSource,
    Task,
    choose,
    step_runs_of,
)
from nbmlops.pipeline.runner.worker_pool import WorkerPool
from nbmlops.tracking.run.status import status_of

_GRACE_S = 30.0  # in which a step whose time is up ends by itself


class Runner:
    """Runs a pipeline once; a sweep's runs are those of its ``source``."""

    def __init__(
        self,
        planner: Planner,
        recorder: RunRecorder,
        *,
        engine: Engine,
        jobs: int | None,
        keep_going: bool,
        say: Callable[[str], None],
        may_retry: bool = True,
        progress: ProgressWriter | None = None,
        source: StepRunSource | None = None,
    ) -> None:
        self._planner, self._recorder = planner, recorder
        self._engine, self._jobs = engine, jobs
        self._keep_going, self._may_retry, self._say = keep_going, may_retry, say
        self._spec, self._source = planner.spec, source
        self._progress = progress or reader.begin(
            recorder.settings.home,
            kind="sweep" if source else "pipeline",
            path=os.path.relpath(planner.spec.path, planner.project),
        )
        self._waiting: list[Step] = [] if source else list(self._spec.steps)
        self._decisions: dict[str, list[Decision]] = {}
        self._reports = Reports(planner.spec)
        self._entries: dict[str, dict[str, Any] | None] = {}
        self._ready: deque[Decision] = deque()
        self._retries = Retries()
        self._pool: WorkerPool[Decision] = WorkerPool(
            engine, worker_process.__name__, recorder.environment
        )
        self._has_failed = self._has_told = self.may_pass = False
        self._notes: list[str] = []
        self._began = time.monotonic()

    @property
    def was_interrupted(self) -> bool:
        """Whether somebody wanted it to end."""
        return self._pool.n_interrupts > 0

    def run(self) -> PipelineReport:
        """Run all that has to run, and return how each step ended."""
        if self._source is None:
            self._progress.set_waiting(each.name for each in self._step_runs())
        with self._pool:
            try:
                self._loop()
                self._fail_lost()
            except BaseException as error:
                self._recorder.abandon(error)
                self._progress.end(status_of(error), problem=str(error))
                raise
        self._recorder.has_orphans |= self._pool.has_lost
        return self._finish()

    def _loop(self) -> None:
        while True:
            self._decide()
            self._dispatch()
            self._progress.flush()
            self._recorder.heartbeat()
            has_left = self._ready or self._retries
            if not self._pool.n_busy and (self._is_ending or not has_left):
                return
            pause_s = float("inf") if self._is_ending else self._retries.wait_s
            for decision, answer in self._pool.wait(pause_s):
                self._take_answer(decision, answer)
            n = self._pool.n_busy
            if self._pool.n_interrupts == 1 and n and not self._has_told:
                self._has_told = True
                self._say(
                    f"Interrupted: waiting for {n} running step{'s' * (n > 1)}; "
                    "interrupt again to stop."
                )
            if self._source is not None:
                self._source.poll()

    def _fail_lost(self) -> None:
        """Fail what had to run and has no report: a bug of the runner."""
        is_late = self._source is not None and self._source.is_late
        if self._is_ending or is_late:
            return
        for step_run in self._reports.lost(self._step_runs()):
            self._fail(
                step_run,
                "It was not run, though nothing prevented it: this is a bug of "
                "nbmlops. Run the same command again.",
            )

    def _step_runs(self) -> list[StepRun]:
        """Return all that there were to be, in order."""
        if self._source is not None:
            return list(self._source.step_runs)
        return [each for step in self._spec.steps for each in step_runs_of(step)]

    @property
    def _n_jobs(self) -> int:
        return self._jobs or self._engine.n_jobs

    @property
    def _is_ending(self) -> bool:
        return self.was_interrupted or (self._has_failed and not self._keep_going)

    @property
    def _has_room(self) -> bool:
        n = self._pool.n_busy + len(self._ready) + len(self._retries)
        return n < self._n_jobs and not self._is_ending

    def _decide(self) -> None:
        """Decide for the steps whose needs are done."""
        while self._source and self._has_room and (found := self._source.next()):
            self._begin(found.step, [found])
        is_moving = True
        while is_moving and not self._is_ending:
            is_moving = False
            for step in list(self._waiting):
                if all(name in self._planner.done for name in step.needs):
                    self._waiting.remove(step)
                    self._begin(step, step_runs_of(step))
                    is_moving = True

    def _begin(self, step: Step, step_runs: Iterable[StepRun]) -> None:
        new = []
        for step_run in step_runs:
            try:
                new.append(self._planner.decide(step_run))
            except NbmlopsError as error:
                self._fail(step_run, error.summary)
        self._decisions.setdefault(step.name, []).extend(new)
        for decision in new:
            try:
                why = decision.why if decision.entry is None else self._gap(decision)
            except ConflictError as error:
                self._fail(decision.step_run, f"{error.problem} {error.fix}")
                continue
            if decision.entry is not None and not why:
                self._planner.remember(decision)
                report = self._planner.report_of(decision)
                self._say(f"{report.step}: cached, {report.why}")
                self._recorder.log_cached(report, step.notebook, decision.key)
                self._add(decision.step_run, report)
            else:
                self._ready.append(replace(decision, entry=None, why=why))

    def _gap(self, decision: Decision) -> str:
        """Restore a cached result, and return why it could not be, or ""."""
        step = decision.step_run.step
        if step.grid:  # the selected one is restored when all are there
            return ""
        assert decision.entry is not None  # noqa: S101
        try:
            is_back = self._restore(decision.entry, step, timeout_s=0)
        except Timeout:  # a worker can wait
            return "another run is at its files"
        except OSError as error:
            self._notes.append(f"{decision.step_run.name} was not put back: {error}")
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
        self._ready.extend(self._retries.pop_due())
        while self._ready and self._pool.n_busy < self._n_jobs:
            self._pool.prestart()  # while the run above is made
            self._recorder.open()
            decision = self._ready.popleft()
            name = decision.step_run.name
            self._retries.count(name)
            self._say(f"{name}: running, {decision.why}")
            last = self._planner.cache.last(decision.step_id) or {}
            self._progress.start(name, decision.why, last.get("duration_s"))
            timeout_s = decision.step_run.step.timeout_s
            limit_s = timeout_s and timeout_s + _GRACE_S
            self._pool.submit(decision, self._task(decision), limit_s=limit_s)

    def _task(self, decision: Decision) -> Task:
        planner, action = self._planner, decision.step_run.step.action
        name = decision.step_run.name
        return Task(
            settings=self._recorder.settings,
            folder=planner.folder,
            pipeline=self._spec.name,
            experiment=self._spec.experiment,
            decision=decision,
            tags=self._recorder.tags_of(name, f"miss: {decision.why}"),
            jobs=min(
                self._n_jobs,
                self._engine.jobs_per_machine,
                self._pool.n_busy + len(self._ready) + 1,
            ),
            action_source=planner.done.get(action.source or "") if action else None,
            run_action=planner.actions.run_action
            if action and planner.actions
            else None,
            progress=self._progress.folder,
            keeps_notebook=self._progress.keeps_notebooks,
        )

    def _take_answer(self, decision: Decision, answer: object) -> None:
        name = decision.step_run.name
        if isinstance(answer, WorkerExited):
            if self._pool.n_interrupts > 1:
                report = StepReport(step=name, state="stopped", why="interrupted")
                self._add(decision.step_run, report)
                return
            failure: Failure = "timeout" if answer.was_late else "died"
            problem = f"The process of {name} ended: {answer}."
            if answer.was_late:
                problem = f"{name} did not end within its time limit."
            report = StepReport(step=name, state="failed", why=problem)
            answer = Reply(report=report, failure=failure)
        assert isinstance(answer, Reply)  # noqa: S101 - our own worker's
        self._take_reply(decision, answer)

    def _take_reply(self, decision: Decision, reply: Reply) -> None:
        step_run, name = decision.step_run, decision.step_run.name
        attempts, why = self._retries.n_attempts(name), reply.report.why
        self._notes += reply.notes
        if reply.failure is not None:
            pause_s = self._retries.pause_s(step_run.step, name, reply.failure)
            if pause_s is None or not self._may_retry:
                self.may_pass |= pause_s is not None
                self._fail(step_run, why, reply.report.run_id)
                return
            self._say(f"{name}: {why} Again in {pause_s:g} s.")
            again = replace(decision, why=f"attempt {attempts + 1}, after: {why}")
            self._progress.set(name, state="waiting", why=again.why, began_at=None)
            self._retries.put(again, pause_s)
            return
        report = replace(
            reply.report, attempts=attempts, params=self._planner.all_params(decision)
        )
        took = "kept meanwhile" if report.state == "cached" else report.state
        self._say(f"{name}: {took} in {report.duration_s:.1f} s, run {report.run_id}")
        self._entries[name] = reply.entry
        self._add(step_run, report)

    def _fail(self, step_run: StepRun, problem: str, run_id: str | None = None) -> None:
        self._has_failed = True
        self._say(f"{step_run.name}: failed. {problem}")
        report = StepReport(
            step=step_run.name,
            state="failed",
            why=problem,
            run_id=run_id,
            attempts=self._retries.n_attempts(step_run.name),
        )
        self._add(step_run, report)
        if run_id is None:
            self._recorder.log_failure(step_run.name, problem)

    def _add(self, step_run: StepRun, report: StepReport) -> None:
        is_whole = self._reports.add(step_run, report)
        self._progress.set_report(report)
        if self._source is not None:
            self._source.report(step_run, report)
        elif is_whole:
            self._complete(step_run.step)

    def _complete(self, step: Step) -> None:
        """Let the steps behind a step see how it ended."""
        if step.name in self._planner.done or not self._reports.is_good(step):
            return
        decisions = self._decisions[step.name]
        if len(decisions) < step.n_runs:
            return
        ordered = self._reports.of_step(step)
        try:
            chosen = choose(step, ordered)
            if step.grid and step.select is not None:
                self._restore_selected(step, decisions[chosen])
        except NbmlopsError as error:
            self._fail(decisions[0].step_run, error.summary)
            return
        if step.select is not None:
            for n, (each, report) in enumerate(zip(decisions, ordered, strict=True)):
                report = replace(report, is_selected=n == chosen)
                self._reports.add(each.step_run, report)
                self._progress.set(report.step, is_selected=n == chosen)
            self._recorder.log_selected(step.name, ordered[chosen])
        self._planner.complete(step, [each.key for each in decisions], ordered[chosen])

    def _restore_selected(self, step: Step, decision: Decision) -> None:
        name = decision.step_run.name
        entry = self._entries.get(name, decision.entry)
        if entry is None or not self._restore(entry, step):
            raise UsageError(
                f"The files of {name!r}, the selected one, are not in the cache.",
                fix=f"See that it can be written, then force step {step.name!r}.",
            )

    def _finish(self) -> PipelineReport:
        status: RunStatus = "FAILED" if self._has_failed else "FINISHED"
        if self.was_interrupted:
            status = "KILLED"
        steps = self._reports.of_all(
            self._step_runs(), was_interrupted=self.was_interrupted
        )
        report = PipelineReport(
            pipeline=self._spec.name,
            run_id=self._recorder.run_id,
            status=status,
            duration_s=time.monotonic() - self._began,
            steps=steps,
            notes=tuple(dict.fromkeys(self._notes)),
        )
        notes = self._recorder.end(report)
        for each in steps:
            self._progress.set_report(each)
        failed = " ".join(f"{s.step}: {s.why}" for s in steps if s.state == "failed")
        self._progress.end(
            status,
            run_id=self._recorder.run_id,
            problem=failed,
            fix="Fix it and run it again: it continues from what is done."
            if failed
            else "",
        )
        return replace(
            report, run_id=self._recorder.run_id, notes=(*report.notes, *notes)
        )
