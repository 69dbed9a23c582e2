"""The report of a sweep, and what its run keeps of it."""

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
from nbmlops.pipeline.runner.run_recorder import RunSummary
from nbmlops.pipeline.sweeps.sources import GridSource, SearchSource
from nbmlops.pipeline.sweeps.spec import CheckedSweep
from nbmlops.render.sweeps import sweep_csv

BEST, BEST_RUN = "nbmlops.best", "nbmlops.best_run"
"""Tags of a sweep's run: the best of the runs below it, by name and by id."""


def sweep_report(
    report: PipelineReport, sweep: CheckedSweep, source: GridSource | SearchSource
) -> SweepReport:
    """Return the report of a sweep."""
    runs = [*source.pruned_before, *report.steps]
    if source.pruned_before:
        runs.sort(key=lambda run: int(run.step.rpartition("[")[2].rstrip("]")))
    if source.is_late:
        late = "the time was up"
        runs = [replace(r, why=late) if r.state == "not run" else r for r in runs]
    metric, notes = _metric(sweep.spec.metric, runs)
    mode = None if metric is None else sweep.mode or mode_of(metric)
    best = ranked(runs, metric, mode) if metric and mode else []
    if metric and mode is None:
        error = unknown_mode(metric, small="mode min", large="mode max")
        notes.append(str(error))
    if source.is_late:
        notes.append(f"the time was up after {sweep.spec.time_s:g} s")
    chosen = best[0].step if best else None
    runs = [replace(run, is_selected=run.step == chosen) for run in runs]
    return SweepReport(
        sweep=report.pipeline,
        notebook=str(sweep.notebook),
        run_id=report.run_id,
        status=report.status,
        duration_s=report.duration_s,
        swept=tuple(sweep.swept),
        metric=metric,
        mode=mode,
        best=next((run for run in runs if run.is_selected), None),
        runs=tuple(runs),
        notes=(*notes, *report.notes),
    )


def _metric(
    given: str | None, runs: Sequence[StepReport]
) -> tuple[str | None, list[str]]:
    """Return what the runs are compared by, and what there is to say of it."""
    ended = [run for run in runs if run.state in ("cached", "done")]
    known = sorted({name for run in ended for name in run.metrics})
    if given is None:
        if len(known) > 1:
            return None, [f"give a metric to have the best named: {', '.join(known)}"]
        return (known[0] if known else None), []
    lacking = [run for run in ended if given not in run.metrics]
    if ended and len(lacking) == len(ended):
        near = did_you_mean(given, known)
        return given, [f"no run has a metric {given!r}.{near}"]
    if lacking:
        return given, [f"{len(lacking)} ended without {given!r}"]
    return given, []


def sweep_summary(report: SweepReport) -> RunSummary:
    """Return what the run of a sweep is given at its end."""
    masked = mask_tree(to_json(report))
    best, metric = report.best, report.metric
    files = {
        "nbmlops/sweep.json": json.dumps(masked, indent=2).encode(),
        "nbmlops/sweep.csv": sweep_csv(report),
    }
    if best is None or metric is None:
        return RunSummary(files=files)
    return RunSummary(
        files=files,
        tags={BEST: best.step, BEST_RUN: str(best.run_id)},
        metrics={f"best_{metric}": best.metrics[metric]},
    )
