"""A pipeline, run: what is ready starts, what is cached is restored."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from typing import Any

from nbmlops.engines import Engine, WorkerExited
from nbmlops.entities import PipelineReport, RunStatus, Step, StepReport
from nbmlops.errors import ConflictError, NbmlopsError
from nbmlops.execution.interrupts import Interrupts
from nbmlops.execution.progress import reader
from nbmlops.execution.progress.writer import ProgressWriter
from nbmlops.pipeline.runner import worker_process
from nbmlops.pipeline.runner.planner import Planner
from nbmlops.pipeline.runner.run_recorder import RunRecorder
from nbmlops.pipeline.runner.step_runs import (
    Decision,
    Failure,
    Reply,
    StepReports,
    StepRun,
    StepRunSource,
    Task,
    step_runs_of,
)
from nbmlops.tracking.run.status import status_of

_TICK_S = 0.5
_GRACE_S = 30.0  # in which a step whose time is up ends by itself
_LONGEST_WAIT_S = 60.0


class Runner:
    """Runs a pipeline once; a sweep's runs are those of its ``source``.

    In the main thread an interrupt is counted and not raised; the second one stops the
    workers.
    """

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
        self._reports = StepReports(planner.spec)
        self._entries: dict[str, dict[str, Any] | None] = {}
        self._queue: list[tuple[float, Decision]] = []  # and when each may begin
        self._attempts: Counter[str] = Counter()
        self._running: dict[Future[object], Decision] = {}
        self._interrupts = Interrupts()
        self._has_failed = self._has_announced = self.may_pass = False
        self._notes: list[str] = []
        self._began = time.monotonic()

    @property
    def was_interrupted(self) -> bool:
        """Whether somebody wanted it to end."""
        return self._interrupts.count > 0

    def run(self) -> PipelineReport:
        """Run all that has to run, and return how each step ended."""
        if self._source is None:
            self._progress.set_waiting(each.name for each in self._step_runs())
        with self._interrupts:
            try:
                self._loop()
                self._fail_lost()
            except BaseException as error:
                self._recorder.abandon(error)
                self._progress.end(status_of(error), problem=str(error))
                raise
            finally:
                self._engine.close()
        return self._finish()

    def _loop(self) -> None:
        while True:
            self._decide()
            self._dispatch()
            self._progress.flush()
            self._recorder.heartbeat()
            if not self._running and (self._is_ending or not self._queue):
                return
            for future in self._wait():
                self._take_answer(self._running.pop(future), future)
            n = len(self._running)
            if self._interrupts.count == 1 and n and not self._has_announced:
                self._has_announced = True
                self._say(
                    f"Interrupted: waiting for {n} running step{'s' * (n > 1)}; "
                    "interrupt again to stop."
                )
            if self._source is not None:
                self._source.poll()

    def _wait(self) -> Iterable[Future[object]]:
        """Return what has ended, as soon as there is something to do."""
        now = time.monotonic()
        later = [at - now for at, _ in self._queue if at > now]
        timeout_s = min(_TICK_S, *later) if later else _TICK_S
        if not self._running:
            time.sleep(timeout_s)
        done, _ = wait(self._running, timeout_s, return_when=FIRST_COMPLETED)
        if self._interrupts.count > 1:
            self._engine.stop()
        return done

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
        n = len(self._running) + len(self._queue)
        return n < self._n_jobs and not self._is_ending

    def _decide(self) -> None:
        """Decide for the steps whose needs are done."""
        while self._source and self._has_room and (found := self._source.next()):
            self._begin(found.step, [found])
        if self._is_ending:
            return
        for step in list(self._waiting):  # in the order of their needs
            if all(name in self._planner.done for name in step.needs):
                self._waiting.remove(step)
                self._begin(step, step_runs_of(step))

    def _begin(self, step: Step, step_runs: Iterable[StepRun]) -> None:
        new = []
        for step_run in step_runs:
            try:
                new.append(self._planner.decide(step_run))
            except NbmlopsError as error:
                self._fail(step_run, error.summary)
        self._decisions.setdefault(step.name, []).extend(new)
        for each in new:
            try:
                decision = self._planner.restore(each)
            except ConflictError as error:
                self._fail(each.step_run, f"{error.problem} {error.fix}")
                continue
            if decision.entry is None:
                self._queue.append((0.0, decision))
                continue
            report = self._planner.report_of(decision)
            self._say(f"{report.step}: cached, {report.why}")
            self._recorder.log_cached(report, step.notebook, decision.key)
            self._add(decision.step_run, report)

    def _dispatch(self) -> None:
        now = time.monotonic()
        for place in [each for each in self._queue if each[0] <= now]:
            if self._is_ending or len(self._running) >= self._n_jobs:
                return
            self._queue.remove(place)
            self._start(place[1])

    def _start(self, decision: Decision) -> None:
        module, env = worker_process.__name__, self._recorder.environment()
        if not self._running:
            self._engine.prestart(module, env)  # while the run above is made
        self._recorder.open()
        name = decision.step_run.name
        self._attempts[name] += 1
        self._say(f"{name}: running, {decision.why}")
        last = self._planner.cache.last(decision.step_id) or {}
        self._progress.start(name, decision.why, last.get("duration_s"))
        timeout_s = decision.step_run.step.timeout_s
        limit_s = timeout_s and timeout_s + _GRACE_S
        task = self._task(decision)
        future = self._engine.submit(module, env, task, limit_s=limit_s)
        self._running[future] = decision

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
                len(self._running) + len(self._queue) + 1,
            ),
            action_source=planner.done.get(action.source or "") if action else None,
            run_action=planner.actions.run_action
            if action and planner.actions
            else None,
            progress=self._progress.folder,
            keeps_notebook=self._progress.keeps_notebooks,
        )

    def _take_answer(self, decision: Decision, future: Future[object]) -> None:
        name = decision.step_run.name
        try:
            reply = future.result()
        except WorkerExited as exited:
            self._recorder.has_orphans = True
            if self._interrupts.count > 1:
                report = StepReport(step=name, state="stopped", why="interrupted")
                self._add(decision.step_run, report)
                return
            failure: Failure = "timeout" if exited.was_late else "died"
            problem = f"The process of {name} ended: {exited}."
            if exited.was_late:
                problem = f"{name} did not end within its time limit."
            report = StepReport(step=name, state="failed", why=problem)
            reply = Reply(report=report, failure=failure)
        assert isinstance(reply, Reply)  # noqa: S101 - our own worker's
        self._take_reply(decision, reply)

    def _take_reply(self, decision: Decision, reply: Reply) -> None:
        step_run, why = decision.step_run, reply.report.why
        name = step_run.name
        self._notes += reply.notes
        if reply.failure is not None:
            pause_s = self._pause_s(step_run, reply.failure)
            if pause_s is None or not self._may_retry:
                self.may_pass |= pause_s is not None
                self._fail(step_run, why, reply.report.run_id)
                return
            self._say(f"{name}: {why} Again in {pause_s:g} s.")
            because = f"attempt {self._attempts[name] + 1}, after: {why}"
            self._progress.set(name, state="waiting", why=because, began_at=None)
            due_at = time.monotonic() + pause_s
            self._queue.append((due_at, replace(decision, why=because)))
            return
        report = replace(
            reply.report,
            attempts=self._attempts[name],
            params=self._planner.all_params(decision),
        )
        took = "kept meanwhile" if report.state == "cached" else report.state
        self._say(f"{name}: {took} in {report.duration_s:.1f} s, run {report.run_id}")
        self._entries[name] = reply.entry
        self._add(step_run, report)

    def _pause_s(self, step_run: StepRun, failure: Failure) -> float | None:
        """Return the seconds before a step run may be begun again, or None."""
        step, n = step_run.step, self._attempts[step_run.name]
        is_safe = failure == "error" or not step.once
        if n > step.retries or failure not in step.retry_on or not is_safe:
            return None
        return min(step.retry_wait_s * 2.0 ** (n - 1), _LONGEST_WAIT_S)

    def _fail(self, step_run: StepRun, problem: str, run_id: str | None = None) -> None:
        self._has_failed = True
        self._say(f"{step_run.name}: failed. {problem}")
        report = StepReport(
            step=step_run.name,
            state="failed",
            why=problem,
            run_id=run_id,
            attempts=self._attempts[step_run.name],
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
            chosen = self._planner.complete(step, decisions, ordered, self._entries)
        except NbmlopsError as error:
            self._fail(decisions[0].step_run, error.summary)
            return
        if step.select is not None:
            for n, (each, report) in enumerate(zip(decisions, ordered, strict=True)):
                report = replace(report, is_selected=n == chosen)
                self._reports.add(each.step_run, report)
                self._progress.set(report.step, is_selected=n == chosen)
            self._recorder.log_selected(step.name, ordered[chosen])

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
            notes=tuple(dict.fromkeys([*self._planner.notes, *self._notes])),
        )
        notes = self._recorder.end(report)
        for each in steps:
            self._progress.set_report(each)
        failed = " ".join(f"{s.step}: {s.why}" for s in steps if s.state == "failed")
        fix = "Fix it and run it again: it continues from what is done."
        run_id = self._recorder.run_id
        self._progress.end(
            status, run_id=run_id, problem=failed, fix=fix if failed else ""
        )
        return replace(report, run_id=run_id, notes=(*report.notes, *notes))
