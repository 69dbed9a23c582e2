"""One step run, done in a worker's process: run, and its result put into the cache."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from nbmlops._masking import mask_tree
from nbmlops.entities import CellProgress, Run, StepReport
from nbmlops.errors import NbmlopsError, NotebookError, StoreError
from nbmlops.execution.progress.writer import notebook_file, report_to
from nbmlops.pipeline.cache.keys import Keys, changes
from nbmlops.pipeline.cache.outputs import lock_outputs
from nbmlops.pipeline.cache.signer import is_sha256
from nbmlops.pipeline.cache.step_cache import Cache
from nbmlops.pipeline.runner.once_record import OnceRecord
from nbmlops.pipeline.runner.step_runs import KEY, Failure, Reply, Task, entry_report
from nbmlops.store import Store, connect
from nbmlops.store.runs import queries, resolve, runs
from nbmlops.store.runs.fields import KEY_FORM
from nbmlops.store.runs.search_language import quoted
from nbmlops.tracking.run.pruning import FILE, METRIC
from nbmlops.tracking.sync.sender import sender
from nbmlops.tracking.sync.sync import sync_below

_FAILURES: Mapping[str, Failure] = {
    "died": "died",
    "not started": "died",
    "interrupted": "died",
    "timed out": "timeout",
}
_SLOW_S = 60.0


@dataclass(slots=True)
class _Result:
    run_id: str
    duration_s: float
    values: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)


def work(task: Task) -> Reply:
    """Do one step run, unless its result is cached by now, and keep the result."""
    began_at = time.monotonic()
    home, decision = task.settings.home, task.decision
    keys = Keys(task.folder, task.settings.project, home)
    try:
        cache = Cache(home, keys.digests, shared=task.settings.cache)
        names = [decision.step_id] if task.step.once else []
        with lock_outputs(home, task.folder, task.step, names):
            return _work(task, keys, cache)
    except NotebookError as error:
        if error.how == "given up":
            return _pruned(task, error, time.monotonic() - began_at)
        failure = _FAILURES.get(error.how, "error")
        return _failed(task, error.problem, failure, error.run_id)
    except StoreError as error:
        return _failed(task, error.problem, "outage" if error.is_outage else "usage")
    except NbmlopsError as error:
        return _failed(task, error.summary, "usage")
    except OSError as error:
        return _failed(task, f"{type(error).__name__}: {error}.", "usage")


def _failed(
    task: Task, problem: str, failure: Failure, run_id: str | None = None
) -> Reply:
    report = StepReport(step=task.name, state="failed", why=problem, run_id=run_id)
    return Reply(report=report, failure=failure)


def _pruned(task: Task, error: NotebookError, duration_s: float) -> Reply:
    store, run_id = connect(task.settings), str(error.run_id)
    report = StepReport(
        step=task.name,
        state="pruned",
        why=error.problem.rstrip("."),
        run_id=run_id,
        duration_s=duration_s,
    )
    with suppress(StoreError):  # what it logged is not in the store yet
        run_id = _synced(store, run_id)
        metrics = _recorded_values(task, store, run_id)["metrics"]
        report = replace(report, run_id=run_id, metrics=metrics)
    return Reply(report=report)


def _work(task: Task, keys: Keys, cache: Cache) -> Reply:
    step, folder, key = task.step, task.folder, task.decision.key
    may_be_cached = step.cache and not task.decision.is_forced
    outputs = cache.outputs(step, folder)
    entry = cache.find(key, outputs) if may_be_cached else None
    if entry is not None and (others := cache.restore(entry, outputs)) is not None:
        notes = outputs.left_alone(others)
        why = f"as made by run {entry['run_id']}"
        report = entry_report(task.name, entry, state="cached", why=why)
        return Reply(report=report, entry=entry, notes=notes)
    record = OnceRecord(task.settings.home, key) if step.once else None
    store = connect(task.settings)
    completed = (
        record.find_completed(step, folder) if record and may_be_cached else None
    )
    if completed is None:
        before = outputs.stamps()
        try:
            result = _run(task, store, record)
        except BaseException:
            with suppress(OSError):
                outputs.record(before)  # what it wrote is its own, all the same
            raise
        made = outputs.record(before)
        result.run_id = _synced(store, result.run_id)
        _check_outputs(task, store, result.run_id, outputs.missing(before))
    else:
        made = outputs.record(outputs.stamps(before_s=completed.begun_at))
        if completed.run_id is None:
            result = _killed(task, store)
        else:
            run_id = _synced(store, completed.run_id)
            result = _Result(run_id, 0.0, completed.values)
    is_known = step.notebook and (completed is None or completed.run_id)
    facts = _recorded_values(task, store, result.run_id) if is_known else {}
    reply = _keep(task, keys, cache, result, facts, made)
    if record is not None and cache.find(key, outputs) is not None:
        record.remove()
    return reply


def _killed(task: Task, store: Store) -> _Result:
    """Return what is known of a run that was killed when its step was done."""
    condition = f"tags.`{KEY}` = {quoted(task.decision.key)}"
    found = queries.list_runs(store, filter=condition, limit=1)
    note = "was done when it was killed; what it emitted is lost"
    run_id = next((run.run_id for run in found), "unknown")
    return _Result(run_id, 0.0, {}, [note])


def _run(task: Task, store: Store, record: OnceRecord | None) -> _Result:
    """Run a step; one that is done once with a record of its begin and its end."""
    if record is None:
        return _run_step(task, store)
    with record.guard(task.step):
        result = _run_step(task, store, record.begin)
    record.complete(result.run_id, result.values)
    return result


def _run_step(
    task: Task, store: Store, on_begin: Callable[[], None] = lambda: None
) -> _Result:
    os.environ["MLFLOW_RUN_CONTEXT"] = json.dumps({**task.tags, KEY: task.decision.key})
    if task.step.notebook is None:
        on_begin()
        return _run_action(task, store)
    from nbmlops.execution.run import run_notebook

    pruning = task.decision.step_run.pruning
    os.environ[FILE] = str(pruning.folder / "steps") if pruning else ""
    os.environ[METRIC] = pruning.metric if pruning else ""
    report = report_to(task.progress, task.name) if task.progress else None

    def follow(progress: CellProgress) -> None:
        if progress.n_done == 0 and progress.cell:  # its first cell is next
            on_begin()
        if report is not None:
            report(progress)

    done = run_notebook(
        task.folder / task.step.notebook,
        params=task.decision.params,
        experiment=task.experiment,
        name=task.name,
        timeout_s=task.step.timeout_s,
        cell_timeout_s=task.step.cell_timeout_s,
        kernel_name=task.step.kernel,
        jobs=task.jobs,
        store=store,
        give_up=_verdict(pruning.folder / "verdict") if pruning else None,
        output=notebook_file(task.progress, task.name)
        if task.progress and task.keeps_notebook
        else None,
        on_progress=follow,
    )
    return _Result(done.run_id, done.duration_s, done.values, list(done.notes))


def _verdict(file: Path) -> Callable[[], str]:
    return lambda: file.read_text("utf-8") if file.exists() else ""


def _run_action(task: Task, store: Store) -> _Result:
    from nbmlops.execution.values import record_values
    from nbmlops.tracking.run.start import open_run

    assert task.run_action is not None  # noqa: S101
    run = open_run(
        store,
        name=task.name,
        kind="step",
        experiment=task.experiment,
        params=task.step.action.options if task.step.action else {},
        tags={"mlflow.source.name": task.decision.step_id.partition("\0")[0]},
    )
    try:
        values = dict(task.run_action(task, store))
    except BaseException as error:
        run.close(error)
        raise
    record_values(run, values)
    run.close()
    return _Result(run.run_id, run.usage.wall_s, values, list(run.notes))


def _synced(store: Store, run_id: str) -> str:
    """Return the id of a run when a slow store has it and those below it."""
    sender().wait_all(_SLOW_S)
    sync_below(store, run_id)
    if not re.fullmatch(KEY_FORM, run_id):
        return run_id
    return resolve.resolve_run(store, run_id).run_id


def _check_outputs(task: Task, store: Store, run_id: str, missing: list[str]) -> None:
    """Refuse a run that has not made what its step declares."""
    if not missing:
        return
    problem = f"Step {task.name!r} did not make its outputs: {', '.join(missing)}."
    runs.end_run(store, run_id, "FAILED", tags={"nbmlops.ended_because": problem})
    raise NotebookError(
        problem,
        fix="Write them in the notebook, or take them out of `outputs`.",
        notebook=str(task.step.notebook),
        run_id=run_id,
    )


def _recorded_values(task: Task, store: Store, run_id: str) -> dict[str, Any]:
    """Return the metrics and the newest model of a run and of those below it."""
    found: list[Run] = [queries.get_run(store, run_id)]
    for run in found:  # grows as children are found
        found += queries.list_children(store, run.run_id)
    top, inner = found[0], sorted(found[1:], key=lambda run: run.started_at)
    metrics: dict[str, float] = {}
    for run in (*inner, top):
        metrics |= run.metrics
    newest = [run for run in (top, *inner) if run.model_id][-1:]
    return {
        "metrics": metrics,
        "model_id": newest[0].model_id if newest else None,
        "model_run_id": newest[0].run_id if newest else None,
    }


def _keep(
    task: Task,
    keys: Keys,
    cache: Cache,
    result: _Result,
    facts: Mapping[str, Any],
    made: Mapping[Path, str],
) -> Reply:
    """Keep the result, unless what it depends on has changed meanwhile."""
    step, decision = task.step, task.decision
    outputs = cache.outputs(step, task.folder)
    body: dict[str, Any] = {
        "pipeline": task.pipeline,
        "step": task.name,
        "run_id": result.run_id,
        "duration_s": result.duration_s,
        "values": dict(result.values),
        "metrics": {},
        **facts,
    }
    notes = [f"{task.name}: {note}" for note in result.notes]
    notes += outputs.left_alone(outputs.others(made))
    key, why_not = decision.key, ""
    odd = [path for path, digest in made.items() if not is_sha256(digest)]
    if step.notebook is not None:
        upstream = decision.parts["upstream"]
        now = keys.parts(
            step, decision.params, upstream=upstream, step_id=decision.step_id
        )
        if changed := changes(decision.parts, now):
            why_not = f"{changed} while it ran"
        elif mask_tree(body["values"]) != body["values"]:
            why_not = "a value looks like a secret"
        elif odd:
            why_not = f"it made {outputs.named(odd)}, which is a link or no file"
        if why_not:
            key = sha256(uuid4().bytes).hexdigest()
    files = {outputs.name(path): path for path in made if path not in odd}
    entry: dict[str, Any] = {**body, "outputs": dict.fromkeys(files)}
    if not why_not or (step.grid and not odd):  # of a grid its files may be selected
        try:
            kept = {**body, "values": {}} if why_not else body
            entry = {**cache.keep(key, kept, files), "values": body["values"]}
        except OSError as error:
            why_not = why_not or str(error)
    if why_not:
        notes.append(f"{task.name} is not kept: {why_not}")
    else:
        cache.set_last(decision.step_id, key, decision.parts, result.duration_s)
    report = entry_report(task.name, entry, state="done", why=decision.why)
    report = replace(report, duration_s=result.duration_s)
    return Reply(report=report, entry=entry, notes=tuple(notes))
