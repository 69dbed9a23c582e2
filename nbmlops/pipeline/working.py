"""One unit of a pipeline, done in a process of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from filelock import FileLock

from nbmlops._masking import mask_tree
from nbmlops.config import Settings
from nbmlops.entities import Run, Step, StepReport
from nbmlops.errors import NbmlopsError, NotebookError, StoreError
from nbmlops.pipeline.cache import Cache
from nbmlops.pipeline.digests import files_below
from nbmlops.pipeline.keys import Keys, Parts, changes
from nbmlops.pipeline.once import Intent
from nbmlops.store import Store, connect, runs, search

KEY = "nbmlops.cache_key"
"""Tag of a step's run: the key of its result."""
Failure = Literal["died", "outage", "timeout", "error", "usage"]
_KINDS: Mapping[str, Failure] = {
    "died": "died",
    "not started": "died",
    "interrupted": "died",
    "timed out": "timeout",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker is told to do.

    Attributes
    ----------
    settings : Settings
        The project's.
    folder : Path
        The pipeline file's.
    pipeline, slot : str
        Name of the pipeline, and what names the unit among all.
    step : Step
        The step.
    name : str
        The unit's name, and so that of its run.
    params : Mapping of str to object
        What the notebook is given.
    key : str
        Of the result.
    parts : Parts
        What the key is made of.
    upstream : Mapping of str to str
        Key of each step it needs.
    why : str
        Why it runs.
    may_be_cached : bool
        Whether a result that came meanwhile may stand for a run.
    experiment : str
        Of its run.
    context : Mapping of str to str
        Tags of its run, that of its parent among them.
    source : StepReport or None
        What an action is about.
    """

    settings: Settings
    folder: Path
    pipeline: str
    slot: str
    step: Step
    name: str
    params: Mapping[str, object]
    key: str
    parts: Parts
    upstream: Mapping[str, str]
    why: str
    may_be_cached: bool
    experiment: str
    context: Mapping[str, str]
    source: StepReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What became of a task.

    Attributes
    ----------
    report : StepReport
        As far as the worker knows it.
    entry : dict or None
        The result that is kept.
    failure : str or None
        What kind of end it was, when it failed.
    notes : tuple of str
        What the user should know.
    """

    report: StepReport
    entry: dict[str, Any] | None = None
    failure: Failure | None = None
    notes: tuple[str, ...] = ()


Act = Callable[[Task, Store], Mapping[str, object]]
"""Does what a step without a notebook is for, and returns its values."""


@dataclass(slots=True)
class _Result:
    run_id: str
    duration_s: float
    values: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)


def work(task: Task, *, act: Act) -> Reply:
    """Do one unit, unless its result is kept by now, and keep the result.

    Parameters
    ----------
    task : Task
        What to do.
    act : callable
        For steps without a notebook.

    Returns
    -------
    Reply
        Also of a unit that failed.

    Raises
    ------
    KeyboardInterrupt
        It was stopped.
    """
    keys = Keys(task.folder, task.settings.project, task.settings.home)
    cache = Cache(task.settings.home, keys.digests)
    try:
        with _alone(task):
            return _work(task, keys, cache, act)
    except NotebookError as error:
        kind = _KINDS.get(error.how, "error")
        return _failed(task, error.problem, kind, error.run_id)
    except StoreError as error:
        return _failed(task, error.problem, "outage" if error.is_outage else "usage")
    except NbmlopsError as error:
        return _failed(task, f"{error.problem} {error.fix}", "usage")
    except OSError as error:
        return _failed(task, f"{type(error).__name__}: {error}.", "usage")


def _failed(
    task: Task, problem: str, kind: Failure, run_id: str | None = None
) -> Reply:
    report = StepReport(step=task.name, state="failed", why=problem, run_id=run_id)
    return Reply(report=report, failure=kind)


@contextmanager
def _alone(task: Task) -> Iterator[None]:
    """Keep others from the same step's files and effects; its end frees the lock."""
    if not task.step.outputs and not task.step.once:
        yield
        return
    named = sha256(f"{task.slot.partition('[')[0]}".encode()).hexdigest()
    folder = task.settings.home / "pipelines" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{named[:32]}.lock"):
        yield


def _work(task: Task, keys: Keys, cache: Cache, act: Act) -> Reply:
    step, folder = task.step, task.folder
    entry = cache.find(task.key) if task.may_be_cached else None
    if entry is not None and cache.restore(entry, folder, step.outputs):
        return Reply(report=_report(task, entry, "cached"), entry=entry)
    intent = Intent(task.settings.home, task.key) if step.once else None
    if intent is not None and task.may_be_cached and intent.was_done(step, folder):
        reply = _keep(task, keys, cache, _killed(task), {})
        intent.withdraw()
        return reply
    before = _stamps(step, folder)
    if intent is not None:
        intent.declare()
    store = connect(task.settings)
    try:
        result = _execute(task, store, act)
        _check_outputs(task, store, result, before)
    except NbmlopsError as error:
        how = getattr(error, "how", "raised")
        if intent is not None and how in ("raised", "exited"):
            intent.withdraw()  # the notebook itself said that it failed
        raise
    facts = _facts(store, result) if step.notebook else {}
    reply = _keep(task, keys, cache, result, facts)
    if intent is not None:
        intent.withdraw()
    return reply


def _killed(task: Task) -> _Result:
    """Return what is known of a run that was killed when its step was done."""
    condition = f"tags.`{KEY}` = {search.quoted(task.key)}"
    found = search.list_runs(connect(task.settings), filter=condition, limit=1)
    note = "was done when it was killed; what it emitted is lost"
    run_id = next((run.run_id for run in found), "unknown")
    return _Result(run_id, 0.0, {}, [note])


def _execute(task: Task, store: Store, act: Act) -> _Result:
    os.environ["MLFLOW_RUN_CONTEXT"] = json.dumps({**task.context, KEY: task.key})
    if task.step.notebook is None:
        return _act(task, store, act)
    from nbmlops.pipeline.step import run_notebook

    done = run_notebook(
        task.folder / task.step.notebook,
        params=task.params,
        experiment=task.experiment,
        name=task.name,
        timeout_s=task.step.timeout_s,
        kernel_name=task.step.kernel,
        store=store,
    )
    return _Result(done.run_id, done.duration_s, done.values, list(done.notes))


def _act(task: Task, store: Store, act: Act) -> _Result:
    from nbmlops.pipeline.values import record_values
    from nbmlops.tracking import open_run

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
    return _Result(run.run_id, run.meter.wall_s, values, list(run.notes))


def _stamps(step: Step, folder: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for output in step.outputs
        for path in files_below(folder / output)
    }


def _check_outputs(
    task: Task, store: Store, result: _Result, before: Mapping[Path, tuple[int, int]]
) -> None:
    """Refuse a run that has not made what its step declares."""
    after = _stamps(task.step, task.folder)
    faults = []
    for output in task.step.outputs:
        files = list(files_below(task.folder / output))
        if not files:
            faults.append(f"{output!r} is not there")
        elif all(before.get(path) == after[path] for path in files):
            faults.append(f"{output!r} was there before and was not written")
    if not faults:
        return
    problem = f"Step {task.name!r} did not make its outputs: {', '.join(faults)}."
    runs.end_run(
        store, result.run_id, "FAILED", tags={"nbmlops.ended_because": problem}
    )
    raise NotebookError(
        problem,
        fix="Write them in the notebook, or take them out of `outputs`.",
        notebook=str(task.step.notebook),
        run_id=result.run_id,
    )


def _facts(store: Store, result: _Result) -> dict[str, Any]:
    """Return the metrics and the newest model of a run and of those below it."""
    waiting: list[Run] = [search.get_run(store, result.run_id)]
    found: list[Run] = []
    while waiting:
        run = waiting.pop(0)
        found.append(run)
        waiting += search.list_children(store, run.run_id)
    inner = sorted(found[1:], key=lambda run: run.started_at)
    metrics: dict[str, float] = {}
    for run in (*inner, found[0]):
        metrics |= run.metrics
    with_model = [run for run in (found[0], *inner) if run.model_id]
    newest = with_model[-1] if with_model else None
    return {
        "metrics": metrics,
        "model_id": newest.model_id if newest else None,
        "model_run_id": newest.run_id if newest else None,
    }


def _keep(
    task: Task, keys: Keys, cache: Cache, result: _Result, facts: Mapping[str, Any]
) -> Reply:
    """Keep the result, unless what it depends on is not what it was any more."""
    folder = task.folder
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
    key = task.key
    if task.step.notebook is not None:
        now = keys.parts(task.step, task.params, upstream=task.upstream)
        moved = changes(task.parts, now)
        if moved:
            notes.append(f"{task.name} is not kept: {moved} while it ran")
        elif mask_tree(body["values"]) != body["values"]:
            moved = "a value looks like a secret"
            notes.append(f"{task.name} is not kept: {moved}")
        if moved:
            key = sha256(uuid4().bytes).hexdigest()
    outputs = {
        Path(os.path.relpath(path, folder)).as_posix(): path
        for output in task.step.outputs
        for path in files_below(folder / output)
    }
    if key != task.key and not task.step.grid:
        entry = {**body, "outputs": dict.fromkeys(outputs)}
    else:
        kept = body if key == task.key else {**body, "values": {}}
        entry = {**cache.keep(key, kept, outputs), "values": body["values"]}
        if key == task.key:
            cache.set_last(task.slot, key, task.parts, result.duration_s)
    return Reply(report=_report(task, entry, "done"), entry=entry, notes=tuple(notes))


def _report(
    task: Task, entry: Mapping[str, Any], state: Literal["cached", "done"]
) -> StepReport:
    is_hit = state == "cached"
    return StepReport(
        step=task.name,
        state=state,
        why=f"as made by run {entry['run_id']}" if is_hit else task.why,
        run_id=entry["run_id"],
        duration_s=0.0 if is_hit else entry["duration_s"],
        values=entry["values"],
        metrics=entry["metrics"],
        model_id=entry.get("model_id"),
        model_run_id=entry.get("model_run_id"),
        outputs=tuple(entry["outputs"]),
    )
