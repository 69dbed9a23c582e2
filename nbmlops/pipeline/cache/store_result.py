"""What a unit came to, kept for the next time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from nbmlops._masking import mask_tree
from nbmlops.entities import Run, StepReport
from nbmlops.pipeline.cache.keys import Keys, changes
from nbmlops.pipeline.cache.step_cache import Cache, is_sha256
from nbmlops.pipeline.runner.messages import Reply, Task
from nbmlops.store import Store
from nbmlops.store.runs import queries
from nbmlops.store.runs.queries import list_children


@dataclass(slots=True)
class Result:
    """What a unit has come to."""

    run_id: str
    duration_s: float
    values: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)


def facts_of(task: Task, store: Store, run_id: str) -> dict[str, Any]:
    """Return the metrics and the newest model of a run and of those below it."""
    waiting: list[Run] = [queries.get_run(store, run_id)]
    found: list[Run] = []
    while waiting:
        run = waiting.pop(0)
        found.append(run)
        waiting += list_children(store, run.run_id)
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


def keep(
    task: Task,
    keys: Keys,
    cache: Cache,
    result: Result,
    facts: Mapping[str, Any],
    made: Mapping[Path, str],
) -> Reply:
    """Keep the result, unless what it depends on is not what it was any more."""
    outputs = cache.outputs(task.step, task.folder)
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
    key = task.key
    strange = [path for path, digest in made.items() if not is_sha256(digest)]
    if task.step.notebook is not None:
        now = keys.parts(task.step, task.params, upstream=task.upstream, slot=task.slot)
        moved = changes(task.parts, now)
        if moved:
            notes.append(f"{task.name} is not kept: {moved} while it ran")
        elif mask_tree(body["values"]) != body["values"]:
            moved = "a value looks like a secret"
            notes.append(f"{task.name} is not kept: {moved}")
        elif strange:
            moved = f"it made {outputs.named(strange)}, which is a link or no file"
            notes.append(f"{task.name} is not kept: {moved}")
        if moved:
            key = sha256(uuid4().bytes).hexdigest()
    files = {outputs.name(path): path for path in made if path not in strange}
    entry: dict[str, Any] = {**body, "outputs": dict.fromkeys(files)}
    if key == task.key or (task.step.grid and not strange):
        try:
            kept = body if key == task.key else {**body, "values": {}}
            entry = {**cache.keep(key, kept, files), "values": body["values"]}
        except OSError as error:
            notes.append(f"{task.name} is not kept: {error}")
            key = ""
    if key == task.key:
        cache.set_last(task.slot, key, task.parts, result.duration_s)
    return Reply(report=report_of(task, entry, "done"), entry=entry, notes=tuple(notes))


def report_of(
    task: Task, entry: Mapping[str, Any], state: Literal["cached", "done"]
) -> StepReport:
    """Return what to tell of a unit whose result is kept."""
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
