"""The run a user means by a few words."""

from __future__ import annotations

import math
import re

from nbmlops.entities import Run
from nbmlops.errors import NotFoundError, UsageError, did_you_mean
from nbmlops.store.connection import Store
from nbmlops.store.fluent import current_experiment
from nbmlops.store.runs import KEY, KEY_FORM
from nbmlops.store.search import (
    REPLAY_OF,
    backticked,
    get_run,
    iterate_runs,
    list_runs,
)


def resolve_run(
    store: Store, spec: str, *, experiment: str | None = None, with_model: bool = False
) -> Run:
    """Return the run a user means.

    Parameters
    ----------
    store : Store
        Where to look.
    spec : str
        A run id, a unique prefix of 6 or more digits, ``latest`` or ``best:METRIC``,
        which pass over replays.
    experiment : str, optional
        Where ``latest`` and ``best:`` look; by default that of `current_experiment`.
    with_model : bool, default=False
        Whether ``latest`` and ``best:`` pass over runs without a model.

    Returns
    -------
    Run
        The run.

    Raises
    ------
    NotFoundError
        No run fits.
    UsageError
        The spec cannot be read, or fits several runs.
    """
    experiment = experiment or current_experiment(store)
    if spec == "latest":
        runs = iterate_runs(store, experiment=experiment)
        own = (
            run
            for run in runs
            if run.tags.get("nbmlops.kind") != "fit" and REPLAY_OF not in run.tags
        )
        found = next((run for run in own if run.model_id or not with_model), None)
        if found is None:
            what = "run with a model" if with_model else "run"
            raise NotFoundError(
                f"Experiment {experiment!r} has no {what} yet.",
                fix="Run a %%track cell that fits a model, or name another experiment.",
            )
        return found
    if spec.startswith("best:"):
        return _best(store, spec[5:], experiment, with_model=with_model)
    return _by_prefix(store, spec)


def _by_prefix(store: Store, spec: str) -> Run:
    if re.fullmatch(r"[0-9a-f]{32}", spec):
        return get_run(store, spec)
    if re.fullmatch(KEY_FORM, spec):
        page = list_runs(store, filter=f"tags.`{KEY}` = '{spec}'", limit=1)
        if page.items:
            return page.items[0]
        raise NotFoundError(
            f"The store has no run of key {spec!r} yet.", fix="Run: nbmlops sync"
        )
    if not re.fullmatch(r"[0-9a-f]{6,31}", spec):
        raise UsageError(
            f"{spec!r} is not a run.",
            fix="Give a run id, 6 or more of its first digits, latest or best:METRIC.",
        )
    page = list_runs(store, filter=f"attributes.run_id LIKE '{spec}%'", limit=2)
    if not page.items:
        raise NotFoundError(
            f"No run id begins with {spec!r}.", fix="List them with %runs."
        )
    if len(page) > 1:
        raise UsageError(
            f"More than one run id begins with {spec!r}.", fix="Give more digits."
        )
    return page.items[0]


def _best(store: Store, metric: str, experiment: str, *, with_model: bool) -> Run:
    order = "ASC" if is_lower_better(metric) else "DESC"
    seen: set[str] = set()
    for run in iterate_runs(
        store,
        experiment=experiment,
        filter="attributes.status = 'FINISHED'",
        order_by=[f"metrics.{backticked(metric)} {order}"],
    ):
        seen.update(run.metrics)
        value = run.metrics.get(metric, math.nan)
        is_own = REPLAY_OF not in run.tags
        if is_own and math.isfinite(value) and (run.model_id or not with_model):
            return run
    what = " with a model" if with_model else ""
    raise NotFoundError(
        f"No finished run{what} in experiment {experiment!r} has a finite metric "
        f"{metric!r}.{did_you_mean(metric, seen)}",
        fix="See the metrics with %runs, or name another experiment.",
    )


def is_lower_better(metric: str) -> bool:
    """Return whether a smaller value of the metric is the better one.

    Parameters
    ----------
    metric : str
        The metric's name.

    Returns
    -------
    bool
        True for losses and errors.

    Examples
    --------
    >>> is_lower_better("log_loss"), is_lower_better("roc_auc")
    (True, False)
    """
    words = set(re.split(r"[^a-z0-9]+", metric.lower()))
    return bool(words & {"loss", "error", "rmse", "mae", "mse", "mape"})
