"""The run a user means by a few words."""

from __future__ import annotations

import math
import re

from nbmlops.entities import Run, parse_best, unknown_mode
from nbmlops.errors import NotFoundError, UsageError, did_you_mean
from nbmlops.store.connection import Store
from nbmlops.store.fluent import current_experiment
from nbmlops.store.runs import missing
from nbmlops.store.runs.fields import KEY, KEY_FORM, REPLAY_OF
from nbmlops.store.runs.queries import get_run, iterate_runs, list_runs
from nbmlops.store.runs.search_language import backticked, quoted

_HOW = (
    "Give a run id, 6 or more of its first characters, latest, best:METRIC or "
    "best:METRIC:min|max."
)


def resolve_run(
    store: Store, spec: str, *, experiment: str | None = None, with_model: bool = False
) -> Run:
    """Return the run a user means."""
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
            raise missing.no_latest(store, experiment, with_model=with_model)
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
    is_prefix = re.fullmatch(r"[0-9a-f]{6,31}", spec)
    page = list_runs(
        store,
        filter=f"attributes.run_id LIKE '{spec}%'"
        if is_prefix
        else f"attributes.run_name = {quoted(spec)}",
        limit=3,
    )
    if not is_prefix:
        runs = ", ".join(run.run_id[:8] for run in page)
        what = f"the name of a run, not its id: {runs}" if runs else "not a run"
        raise UsageError(f"{spec!r} is {what}.", fix=_HOW)
    if not page.items:
        newest = [run.run_id[: len(spec)] for run in list_runs(store, limit=200)]
        raise NotFoundError(
            f"No run id begins with {spec!r}.{did_you_mean(spec, newest)}",
            fix="List them with %runs.",
        )
    if len(page) > 1:
        runs = ", ".join(f"{run.run_id[:12]} ({run.name[:40]})" for run in page)
        raise UsageError(
            f"More than one run id begins with {spec!r}: {runs}.",
            fix="Give more of its characters.",
        )
    return page.items[0]


def _best(store: Store, text: str, experiment: str, *, with_model: bool) -> Run:
    metric, mode = parse_best(text)
    if not metric:
        raise UsageError(f"'best:{text}' names no metric.", fix=_HOW)
    for run in iterate_runs(
        store,
        experiment=experiment,
        filter="attributes.status = 'FINISHED'",
        order_by=f"metrics.{backticked(metric)} {'ASC' if mode == 'min' else 'DESC'}",
    ):
        value = run.metrics.get(metric)
        if value is None:  # so have all runs behind it
            break
        if mode is None:
            raise unknown_mode(
                metric, small=f"best:{metric}:min", large=f"best:{metric}:max"
            )
        is_own = REPLAY_OF not in run.tags
        if is_own and math.isfinite(value) and (run.model_id or not with_model):
            return run
    raise missing.no_best(store, metric, experiment, with_model=with_model)
