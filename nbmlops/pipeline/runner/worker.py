"""One unit of a pipeline, done in a process of its own."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nbmlops.entities import CellProgress, StepReport
from nbmlops.errors import NbmlopsError, NotebookError, StoreError
from nbmlops.execution.progress.writer import notebook_file, report_to
from nbmlops.pipeline.cache.keys import Keys
from nbmlops.pipeline.cache.outputs import lock_outputs
from nbmlops.pipeline.cache.step_cache import Cache
from nbmlops.pipeline.cache.store_result import Result, facts_of, keep, report_of
from nbmlops.pipeline.runner.messages import KEY, Failure, Reply, Task
from nbmlops.pipeline.runner.once_record import Intent
from nbmlops.store import Store, connect
from nbmlops.store.runs import queries, resolve, runs
from nbmlops.store.runs.fields import KEY_FORM
from nbmlops.store.runs.search_language import quoted
from nbmlops.tracking.run.pruning import FILE, METRIC
from nbmlops.tracking.sync.sender import sender
from nbmlops.tracking.sync.sync import sync_below

_KINDS: Mapping[str, Failure] = {
    "died": "died",
    "not started": "died",
    "interrupted": "died",
    "timed out": "timeout",
}
_SLOW_S = 60.0


Act = Callable[[Task, Store], Mapping[str, object]]
"""Does what a step without a notebook is for, and returns its values."""


def work(task: Task, *, act: Act) -> Reply:
    """Do one unit, unless its result is kept by now, and keep the result."""
    began_at = time.monotonic()
    keys = Keys(task.folder, task.settings.project, task.settings.home)
    try:
        cache = Cache(task.settings.home, keys.digests, shared=task.settings.cache)
        names = [task.slot] if task.step.once else []
        with lock_outputs(task.settings.home, task.folder, task.step, names):
            return _work(task, keys, cache, act)
    except NotebookError as error:
        if error.how == "given up":
            return _given_up(task, error, time.monotonic() - began_at)
        kind = _KINDS.get(error.how, "error")
        return _failed(task, error.problem, kind, error.run_id)
    except StoreError as error:
        return _failed(task, error.problem, "outage" if error.is_outage else "usage")
    except NbmlopsError as error:
        return _failed(task, error.summary, "usage")
    except OSError as error:
        return _failed(task, f"{type(error).__name__}: {error}.", "usage")


def _failed(
    task: Task, problem: str, kind: Failure, run_id: str | None = None
) -> Reply:
    report = StepReport(step=task.name, state="failed", why=problem, run_id=run_id)
    return Reply(report=report, failure=kind)


def _given_up(task: Task, error: NotebookError, duration_s: float) -> Reply:
    store, run_id = connect(task.settings), str(error.run_id)
    report = StepReport(
        step=task.name,
        state="pruned",
        why=error.problem.rstrip("."),
        run_id=run_id,
        duration_s=duration_s,
    )
    with suppress(StoreError):  # what it logged is not in the store yet
        run_id = _arrived(store, run_id)
        metrics = facts_of(task, store, run_id)["metrics"]
        report = replace(report, run_id=run_id, metrics=metrics)
    return Reply(report=report)


def _work(task: Task, keys: Keys, cache: Cache, act: Act) -> Reply:
    step, folder = task.step, task.folder
    outputs = cache.outputs(step, folder)
    entry = cache.find(task.key, outputs) if task.may_be_cached else None
    if entry is not None and (others := cache.restore(entry, outputs)) is not None:
        notes = outputs.left_alone(others)
        return Reply(report=report_of(task, entry, "cached"), entry=entry, notes=notes)
    intent = Intent(task.settings.home, task.key) if step.once else None
    store = connect(task.settings)
    effect = intent.effect(step, folder) if intent and task.may_be_cached else None
    if effect is None:
        before = outputs.stamps()
        try:
            result = _execute(task, store, act, intent)
        except BaseException:
            with suppress(OSError):
                outputs.record(before)  # what it wrote is its own, all the same
            raise
        made = outputs.record(before)
        result.run_id = _arrived(store, result.run_id)
        _check_outputs(task, store, result.run_id, outputs.missing(before))
    else:
        made = outputs.record(outputs.stamps(before_s=effect.begun_at))
        if effect.run_id is None:
            result = _killed(task)
        else:
            result = Result(_arrived(store, effect.run_id), 0.0, effect.values)
    is_known = step.notebook and (effect is None or effect.run_id)
    facts = facts_of(task, store, result.run_id) if is_known else {}
    reply = keep(task, keys, cache, result, facts, made)
    if intent is not None and cache.find(task.key, outputs) is not None:
        intent.withdraw()
    return reply


def _killed(task: Task) -> Result:
    """Return what is known of a run that was killed when its step was done."""
    condition = f"tags.`{KEY}` = {quoted(task.key)}"
    found = queries.list_runs(connect(task.settings), filter=condition, limit=1)
    note = "was done when it was killed; what it emitted is lost"
    run_id = next((run.run_id for run in found), "unknown")
    return Result(run_id, 0.0, {}, [note])


def _execute(task: Task, store: Store, act: Act, intent: Intent | None) -> Result:
    """Do what the step is for; of what is to be once, tell before and after."""
    if intent is None:
        return _run(task, store, act, lambda: None)
    try:
        result = _run(task, store, act, intent.declare)
    except (NbmlopsError, KeyboardInterrupt) as error:
        if _is_known_to_fail(task, error):
            intent.withdraw()
        raise
    intent.confirm(result.run_id, result.values)
    return result


def _is_known_to_fail(task: Task, error: BaseException) -> bool:
    """Return whether no cell was begun, or the code itself said that it failed."""
    told = error.__cause__ if isinstance(error, KeyboardInterrupt) else error
    if isinstance(told, NotebookError):
        has_begun = told.cell_index is not None
        return not has_begun or told.how in ("raised", "exited", "not started")
    return isinstance(told, NbmlopsError) and task.step.notebook is None


def _run(task: Task, store: Store, act: Act, declare: Callable[[], None]) -> Result:
    os.environ["MLFLOW_RUN_CONTEXT"] = json.dumps({**task.context, KEY: task.key})
    if task.step.notebook is None:
        declare()
        return _act(task, store, act)
    from nbmlops.execution.run import run_notebook

    watch = task.watch
    os.environ[FILE] = str(watch.folder / "steps") if watch else ""
    os.environ[METRIC] = watch.metric if watch else ""
    live, output = task.live, None
    if live is not None and task.keeps_notebook:
        output = notebook_file(live, task.name)
    tell = report_to(live, task.name) if live is not None else None

    def follow(progress: CellProgress) -> None:
        if progress.n_done == 0 and progress.cell:  # its first cell is next
            declare()
        if tell is not None:
            tell(progress)

    done = run_notebook(
        task.folder / task.step.notebook,
        params=task.params,
        experiment=task.experiment,
        name=task.name,
        timeout_s=task.step.timeout_s,
        cell_timeout_s=task.step.cell_timeout_s,
        kernel_name=task.step.kernel,
        jobs=task.jobs,
        store=store,
        give_up=_verdict(watch.folder / "verdict") if watch else None,
        output=output,
        on_progress=follow,
    )
    return Result(done.run_id, done.duration_s, done.values, list(done.notes))


def _verdict(file: Path) -> Callable[[], str]:
    return lambda: file.read_text("utf-8") if file.exists() else ""


def _act(task: Task, store: Store, act: Act) -> Result:
    from nbmlops.execution.values import record_values
    from nbmlops.tracking.run.start import open_run

    run = open_run(
        store,
        name=task.name,
        kind="step",
        experiment=task.experiment,
        params=task.step.action.options if task.step.action else {},
        tags={"mlflow.source.name": task.slot.partition("\0")[0]},
    )
    try:
        values = dict(act(task, store))
    except BaseException as error:
        run.close(error)
        raise
    record_values(run, values)
    run.close()
    return Result(run.run_id, run.usage.wall_s, values, list(run.notes))


def _arrived(store: Store, run_id: str) -> str:
    """Return the id of a run when a slow store has it and those below it."""
    sender().wait_all(_SLOW_S)
    sync_below(store, run_id)
    if not re.fullmatch(KEY_FORM, run_id):
        return run_id
    return resolve.resolve_run(store, run_id).run_id


def _check_outputs(
    task: Task, store: Store, run_id: str, faults: Sequence[str]
) -> None:
    """Refuse a run that has not made what its step declares."""
    if not faults:
        return
    problem = f"Step {task.name!r} did not make its outputs: {', '.join(faults)}."
    runs.end_run(store, run_id, "FAILED", tags={"nbmlops.ended_because": problem})
    raise NotebookError(
        problem,
        fix="Write them in the notebook, or take them out of `outputs`.",
        notebook=str(task.step.notebook),
        run_id=run_id,
    )
