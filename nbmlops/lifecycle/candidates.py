"""Which run to register: the best, the newest, and what it would replace."""

from __future__ import annotations

import math
from itertools import islice

from nbmlops.deployment import records
from nbmlops.entities import Candidates, ModelVersion, Run, mode_of
from nbmlops.errors import NotFoundError
from nbmlops.lifecycle.deploy import endpoint_name
from nbmlops.store import Store
from nbmlops.store.registry.registered_models import get_model
from nbmlops.store.registry.versions import find_version
from nbmlops.store.runs.fields import KERNEL_ID, REPLAY_OF, SOURCE
from nbmlops.store.runs.queries import iterate_runs
from nbmlops.store.runs.search_language import backticked, quoted

NO_CANDIDATES = Candidates(
    runs=(),
    best=None,
    newest=None,
    metric=None,
    modes={},
    replaced=None,
    endpoint=None,
)
_PAGE = 200


def find_candidates(
    store: Store,
    *,
    source: str,
    kernel_id: str | None = None,
    model: str = "",
    alias: str = "",
    limit: int = 20,
) -> Candidates:
    """Return the runs of a notebook that logged a model, and what one would replace.

    Runs of the kernel ``kernel_id`` count, whatever the notebook was called when they
    were made; replays are passed over.
    """
    conditions = [f"tags.{SOURCE} = {quoted(source)}"]
    if kernel_id:
        conditions.append(f"tags.{KERNEL_ID} = {quoted(kernel_id)}")
    found: dict[str, Run] = {}
    for condition in conditions:
        runs = iterate_runs(store, filter=condition, limit=_PAGE)
        own = (run for run in runs if _is_own(run))
        found |= {run.run_id: run for run in islice(own, limit)}
    newest = sorted(found.values(), key=lambda run: run.started_at, reverse=True)
    newest = newest[:limit]
    replaced = _named(store, model, alias)
    metric = _deciding(newest, replaced)
    best = _best(store, conditions, metric) if metric else None
    first = [best] if best else []
    others = (run for run in newest if not best or run.run_id != best.run_id)
    shown = (*first, *others)
    names = {name for run in shown for name in run.metrics}
    names |= set(replaced.metrics) if replaced else set()
    return Candidates(
        runs=shown,
        best=best.run_id if best else None,
        newest=newest[0].run_id if newest else None,
        metric=metric if best else None,
        modes={name: mode for name in sorted(names) if (mode := mode_of(name))},
        replaced=replaced,
        endpoint=_endpoint(store, model),
    )


def _is_own(run: Run) -> bool:
    return REPLAY_OF not in run.tags and run.model_id is not None


def _named(store: Store, model: str, alias: str) -> ModelVersion | None:
    """Return the version that an alias names, where there is one."""
    if not (model and alias):
        return None
    try:
        number = get_model(store, model).aliases.get(alias)
    except NotFoundError:
        return None
    return find_version(store, model, number) if number else None


def _deciding(runs: list[Run], replaced: ModelVersion | None) -> str | None:
    """Return the metric to compare by: one of the newest run, with a direction."""
    names = [name for name in (runs[0].metrics if runs else ()) if mode_of(name)]
    known = replaced.metrics if replaced else ()
    return next((n for n in names if n in known), next(iter(names), None))


def _best(store: Store, conditions: list[str], metric: str) -> Run | None:
    mode = mode_of(metric)
    order = f"metrics.{backticked(metric)} {'ASC' if mode == 'min' else 'DESC'}"
    found = []
    for condition in conditions:
        ordered = iterate_runs(
            store,
            filter=f"{condition} AND attributes.status = 'FINISHED'",
            order_by=order,
            limit=_PAGE,
        )
        for run in ordered:
            if metric not in run.metrics:  # nor have those behind it
                break
            if _is_own(run) and math.isfinite(run.metrics[metric]):
                found.append(run)
                break
    better = min if mode == "min" else max
    return better(found, key=lambda run: run.metrics[metric], default=None)


def _endpoint(store: Store, model: str) -> str | None:
    """Return the endpoint that serves a model under the name it would be given."""
    name = endpoint_name(model)
    record = records.find_record(records.root(store.settings), name)
    return name if record and record.champion.model == model else None
