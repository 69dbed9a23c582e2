"""What is said when no run fits: why not, and where there are some that do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from nbmlops.entities import Run
from nbmlops.errors import NotFoundError, UsageError, did_you_mean
from nbmlops.store.connection import Store
from nbmlops.store.runs.fields import REPLAY_OF
from nbmlops.store.runs.queries import list_children, list_runs, listed
from nbmlops.store.runs.search_language import backticked

_MOST_READ = 200


def no_latest(store: Store, experiment: str, *, with_model: bool) -> NotFoundError:
    """Return the error of an experiment without a run, or without one with a model."""
    what = f"run{' with a model' * with_model}"
    newest = list_runs(store, limit=_MOST_READ)
    others = _names(run for run in newest if run.model_id or not with_model)
    return NotFoundError(
        f"Experiment {experiment!r} has no {what} yet.",
        fix=_elsewhere(what, [each for each in others if each != experiment])
        or f"Make one with a %%track cell{' that fits a model' * with_model}.",
    )


def no_metric(
    store: Store, metric: str, experiment: str, seen: Sequence[str]
) -> NotFoundError:
    """Return the error of an experiment none of whose runs has a metric."""
    others = _names(_having(store, metric))
    return NotFoundError(
        f"No run of experiment {experiment!r} has metric {metric!r}."
        f"{did_you_mean(metric, seen)}",
        fix=_elsewhere(f"run with {metric!r}", others)
        or "See the metrics with %runs, or name another experiment.",
    )


def no_runs(store: Store, experiment: str) -> str:
    """Return what to say of an experiment without runs."""
    others = [each for each in _names(list_runs(store, limit=50).items)
              if each != experiment]  # fmt: skip
    more = f", or see {listed(others)} with -e" if others else ""
    return f"Experiment {experiment!r} has no runs yet: begin with %%track{more}."


def no_best(
    store: Store, metric: str, experiment: str, *, with_model: bool
) -> NotFoundError:
    """Return the error of an experiment without a best run by a metric."""
    here = _having(store, metric, experiment)
    everywhere = _having(store, metric)
    fitting = [
        run for run in everywhere if not _why_not(run, metric, with_model=with_model)
    ]
    what = f"run with{' a model and' * with_model} {metric!r}"
    fix = _elsewhere(what, _names(fitting))
    if here:
        why = {run.run_id: _why_not(run, metric, with_model=with_model) for run in here}
        nearest = max(here, key=lambda run: why[run.run_id].startswith("no model"))
        return NotFoundError(
            f"Run {nearest.run_id[:8]} has {metric!r}, but {why[nearest.run_id]}.",
            fix=fix or "Run it again, or name another run: list them with %runs.",
        )
    seen = {name for run in list_runs(store, experiment=experiment, limit=_MOST_READ)
            for name in run.metrics}  # fmt: skip
    return NotFoundError(
        f"No finished run{' with a model' * with_model} in experiment {experiment!r} "
        f"has a finite metric {metric!r}.{did_you_mean(metric, seen)}",
        fix=fix
        or (f"Its runs have: {listed(sorted(seen))}." if seen else "See: %runs."),
    )


def no_model(store: Store, run: Run) -> UsageError:
    """Return the error of a run whose model is asked for and that has none."""
    name = f"Run {run.name!r} ({run.run_id[:8]})"
    own = [each for each in list_children(store, run.run_id) if each.model_id]
    near = own or [
        each
        for each in list_runs(store, experiment=run.experiment, limit=_MOST_READ)
        if each.model_id and REPLAY_OF not in each.tags
    ]
    names = ", ".join(f"{each.run_id[:8]} ({each.name[:40]})" for each in near[:5])
    where = "Runs below it" if own else f"Runs of {run.experiment!r}"
    return UsageError(
        f"{name} has no model.",
        fix=f"{where} that have one: {names}."
        if names
        else "Fit an estimator in a %%track cell, or call run.log_model(model, X).",
    )


def _why_not(run: Run, metric: str, *, with_model: bool) -> str:
    """Return why a run that has the metric is not among the best; "" if it may be."""
    if run.status != "FINISHED":
        return f"is {run.status}"
    if REPLAY_OF in run.tags:
        return "is a replay"
    if not math.isfinite(run.metrics[metric]):
        return f"it is {run.metrics[metric]}"
    if with_model and run.model_id is None:
        why = run.tags.get("nbmlops.model_refused", "").rstrip(".")
        return f"no model: {why or 'it fitted none, or see the note below its cell'}"
    return ""


def _having(store: Store, metric: str, experiment: str | None = None) -> list[Run]:
    order = f"metrics.{backticked(metric)} DESC"
    runs = list_runs(store, experiment=experiment, order_by=order, limit=_MOST_READ)
    return [run for run in runs if metric in run.metrics]


def _names(runs: Iterable[Run]) -> list[str]:
    return list(dict.fromkeys(run.experiment for run in runs))


def _elsewhere(what: str, experiments: Sequence[str]) -> str:
    if not experiments:
        return ""
    word, verb = ("Experiments", "have") if experiments[1:] else ("Experiment", "has")
    where = f"{word} {listed(experiments)} {verb} a {what}"
    return f"{where}: look there with experiment=."
