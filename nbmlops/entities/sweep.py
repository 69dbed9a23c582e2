"""What became of a sweep: one notebook, run with many sets of parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from nbmlops.entities.metric import Mode
from nbmlops.entities.pipeline import StepReport
from nbmlops.entities.run import RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """What a sweep came to.

    Attributes
    ----------
    run_id : str
        The sweep's own run, above all others; while the store has not made that, the
        run's key.
    status : RunStatus
        ``FINISHED`` when no run failed and it was not interrupted.
    swept : tuple of str
        Names of the parameters that differ.
    metric, mode : str or None
        What the runs are compared by, and whether ``max`` or ``min`` is the best; None
        when that is not known.
    runs : tuple of StepReport
        In the order they were asked for.
    """

    sweep: str
    notebook: str
    run_id: str
    status: RunStatus
    duration_s: float
    swept: tuple[str, ...]
    metric: str | None
    mode: Mode | None
    best: StepReport | None
    runs: tuple[StepReport, ...]
    notes: tuple[str, ...] = ()


def ranked(runs: Iterable[StepReport], metric: str, mode: Mode) -> list[StepReport]:
    """Return the runs that have a metric, the best first.

    >>> runs = [StepReport(step=n, state="done", metrics={"auc": v})
    ...         for n, v in (("a", 0.5), ("b", float("nan")), ("c", 0.9))]
    >>> [run.step for run in ranked(runs, "auc", "max")]
    ['c', 'a']
    """
    sign = -1 if mode == "max" else 1
    ended = (run for run in runs if run.state in ("cached", "done"))
    finite = [run for run in ended if math.isfinite(run.metrics.get(metric, math.nan))]
    return sorted(finite, key=lambda run: sign * run.metrics[metric])
