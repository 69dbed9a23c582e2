"""The last run of a pipeline, from MLflow."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbmlops.entities import PipelineReport, PipelineSpec, Run, StepReport
from nbmlops.execution.recovery import reap
from nbmlops.pipeline.runner.run_recorder import (
    CACHED_RUN,
    PIPELINE,
    SELECTED,
    STEP,
    TOLD,
)
from nbmlops.store import Store
from nbmlops.store.runs import queries
from nbmlops.store.runs.queries import list_children
from nbmlops.store.runs.search_language import quoted
from nbmlops.tracking.provenance.source import relative
from nbmlops.tracking.sync.sync import sync

_STATES = {"FINISHED": "done", "FAILED": "failed", "KILLED": "stopped"}


def last_report(
    store: Store, spec: PipelineSpec
) -> tuple[PipelineReport, datetime] | None:
    """Return what became of the last run of a pipeline, and when it began."""
    reap(store)
    sync(store)
    file = relative(Path(spec.path), store.settings.project)
    condition = (
        f"tags.`{PIPELINE}` = {quoted(file)} and tags.`nbmlops.kind` = 'pipeline'"
    )
    run = next(iter(queries.list_runs(store, filter=condition, limit=1)), None)
    if run is None:
        return None
    newest: dict[str, Run] = {}
    attempts: dict[str, int] = {}
    for child in list_children(store, run.run_id):
        name = child.tags.get(STEP)
        if name is not None:
            newest.setdefault(name, child)
            attempts[name] = attempts.get(name, 0) + 1
    found_told = (t for tag, t in run.tags.items() if tag.startswith(TOLD))
    told: dict[str, str] = dict(map(json.loads, found_told))
    chosen = {
        tag.removeprefix(SELECTED): text.rpartition(" ")[0]
        for tag, text in run.tags.items()
        if tag.startswith(SELECTED)
    }
    steps: list[StepReport] = []
    for step in spec.steps:
        names = [n for n in (*newest, *told) if n.partition("[")[0] == step.name]
        for name in sorted(dict.fromkeys(names)):
            found = _report(
                name, newest.get(name), told.get(name), attempts.get(name, 0)
            )
            picked = chosen.get(step.name, found["step"]) == found["step"]
            steps.append(StepReport(**found, is_selected=picked))
        if not names:
            steps.append(StepReport(step=step.name, state="not run"))
    ended = run.ended_at or datetime.now(UTC)
    report = PipelineReport(
        pipeline=run.name,
        run_id=run.run_id,
        status=run.status,
        duration_s=(ended - run.started_at).total_seconds(),
        steps=tuple(steps),
    )
    return report, run.started_at


def _report(
    name: str, run: Run | None, problem: str | None, attempts: int
) -> dict[str, Any]:
    if run is None:
        return {"step": name, "state": "failed", "why": problem or ""}
    is_hit = CACHED_RUN in run.tags
    state = "cached" if is_hit else _STATES.get(run.status, "running")
    why = run.tags.get("nbmlops.ended_because") or problem
    if not why:
        why = run.tags.get("nbmlops.cache", "").removeprefix("miss: ")
    ended = run.ended_at or datetime.now(UTC)
    return {
        "step": name,
        "state": state,
        "why": f"as made by run {run.tags[CACHED_RUN]}" if is_hit else why,
        "run_id": run.tags[CACHED_RUN] if is_hit else run.run_id,
        "duration_s": 0.0 if is_hit else (ended - run.started_at).total_seconds(),
        "attempts": 0 if is_hit else attempts,
        "metrics": run.metrics,
        "params": run.params,
        "model_id": run.model_id,
    }
