"""What a sweep has come to: its report, and what its run keeps of that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from nbmlops._masking import mask_tree
from nbmlops.entities import (
    PipelineReport,
    StepReport,
    SweepReport,
    mode_of,
    ranked,
    to_json,
    unknown_mode,
)
from nbmlops.errors import did_you_mean
from nbmlops.pipeline.runner.run_recorder import Outcome
from nbmlops.pipeline.sweeps.grid import Listed
from nbmlops.pipeline.sweeps.search import Search
from nbmlops.pipeline.sweeps.spec import Asked
from nbmlops.render.sweeps import sweep_csv

BEST, BEST_RUN = "nbmlops.best", "nbmlops.best_run"
"""Tags of a sweep's run: the best of the runs below it, by name and by id."""


def reported(
    report: PipelineReport, asked: Asked, feed: Listed | Search
) -> SweepReport:
    """Return the report of a sweep."""
    runs = [*feed.pruned_before, *report.steps]
    if feed.pruned_before:
        runs.sort(key=lambda run: int(run.step.rpartition("[")[2].rstrip("]")))
    if feed.is_late:
        late = "the time was up"
        runs = [replace(r, why=late) if r.state == "not run" else r for r in runs]
    metric, notes = _metric(asked, runs)
    mode = None if metric is None else asked.mode or mode_of(metric)
    best = ranked(runs, metric, mode) if metric and mode else []
    if metric and mode is None:
        error = unknown_mode(metric, small="mode min", large="mode max")
        notes.append(f"{error}")
    if feed.is_late:
        notes.append(f"the time was up after {asked.time_s:g} s")
    chosen = best[0].step if best else None
    runs = [replace(run, is_selected=run.step == chosen) for run in runs]
    return SweepReport(
        sweep=report.pipeline,
        notebook=str(asked.source),
        run_id=report.run_id,
        status=report.status,
        duration_s=report.duration_s,
        swept=tuple(asked.swept),
        metric=metric,
        mode=mode,
        best=next((run for run in runs if run.is_selected), None),
        runs=tuple(runs),
        notes=(*notes, *report.notes),
    )


def _metric(asked: Asked, runs: Sequence[StepReport]) -> tuple[str | None, list[str]]:
    """Return what the runs are compared by, and what there is to say of it."""
    ended = [run for run in runs if run.state in ("cached", "done")]
    known = sorted({name for run in ended for name in run.metrics})
    if asked.metric is None:
        if len(known) > 1:
            return None, [f"give a metric to have the best named: {', '.join(known)}"]
        return (known[0] if known else None), []
    lacking = [run for run in ended if asked.metric not in run.metrics]
    if ended and len(lacking) == len(ended):
        near = did_you_mean(asked.metric, known)
        return asked.metric, [f"no run has a metric {asked.metric!r}.{near}"]
    if lacking:
        return asked.metric, [f"{len(lacking)} ended without {asked.metric!r}"]
    return asked.metric, []


def closed(report: SweepReport) -> Outcome:
    """Return what the run of a sweep is given at its end."""
    masked = mask_tree(to_json(report))
    best, metric = report.best, report.metric
    files = {
        "nbmlops/sweep.json": json.dumps(masked, indent=2).encode(),
        "nbmlops/sweep.csv": sweep_csv(report),
    }
    if best is None or metric is None:
        return Outcome(files=files)
    return Outcome(
        files=files,
        tags={BEST: best.step, BEST_RUN: str(best.run_id)},
        metrics={f"best_{metric}": best.metrics[metric]},
    )
