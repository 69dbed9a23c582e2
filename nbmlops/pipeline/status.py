"""The last run of a pipeline, from MLflow."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from nbmlops.entities import PipelineReport, PipelineSpec, Run, StepReport
from nbmlops.entities.pipeline import StepState
from nbmlops.execution.recovery import reap
from nbmlops.pipeline.runner.run_recorder import (
    CACHED_RUN,
    FAILED_STEP,
    PIPELINE,
    SELECTED,
    STEP,
)
from nbmlops.store import Store
from nbmlops.store.runs import queries
from nbmlops.store.runs.queries import list_children
from nbmlops.store.runs.search_language import quoted
from nbmlops.tracking.provenance.source import relative
from nbmlops.tracking.sync.sync import sync

_STATES: dict[str, StepState] = {
    "FINISHED": "done",
    "FAILED": "failed",
    "KILLED": "stopped",
}


def last_report(
    store: Store, spec: PipelineSpec
) -> tuple[PipelineReport, datetime] | None:
    """Return how the last run of a pipeline ended, and when it began."""
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
    attempts: Counter[str] = Counter()
    for child in list_children(store, run.run_id):
        if (name := child.tags.get(STEP)) is not None:
            newest.setdefault(name, child)
            attempts[name] += 1
    failed: dict[str, str] = dict(
        json.loads(text)
        for tag, text in run.tags.items()
        if tag.startswith(FAILED_STEP)
    )
    chosen = {
        tag.removeprefix(SELECTED): text.rpartition(" ")[0]
        for tag, text in run.tags.items()
        if tag.startswith(SELECTED)
    }
    steps: list[StepReport] = []
    for step in spec.steps:
        names = [n for n in (*newest, *failed) if n.partition("[")[0] == step.name]
        for name in sorted(dict.fromkeys(names)):
            report = _report(name, newest.get(name), failed.get(name), attempts[name])
            is_selected = chosen.get(step.name, name) == name
            steps.append(replace(report, is_selected=is_selected))
        if not names:
            steps.append(StepReport(step=step.name, state="not run"))
    return PipelineReport(
        pipeline=run.name,
        run_id=run.run_id,
        status=run.status,
        duration_s=_duration_s(run),
        steps=tuple(steps),
    ), run.started_at


def _report(
    name: str, run: Run | None, problem: str | None, attempts: int
) -> StepReport:
    if run is None:
        return StepReport(step=name, state="failed", why=problem or "")
    cached_run = run.tags.get(CACHED_RUN)
    ended_because = run.tags.get("nbmlops.ended_because") or problem
    why = run.tags.get("nbmlops.cache", "").removeprefix("miss: ")
    return StepReport(
        step=name,
        state="cached" if cached_run else _STATES.get(run.status, "running"),
        why=f"as made by run {cached_run}" if cached_run else ended_because or why,
        run_id=cached_run or run.run_id,
        duration_s=0.0 if cached_run else _duration_s(run),
        attempts=0 if cached_run else attempts,
        metrics=run.metrics,
        params=run.params,
        model_id=run.model_id,
    )


def _duration_s(run: Run) -> float:
    return ((run.ended_at or datetime.now(UTC)) - run.started_at).total_seconds()
