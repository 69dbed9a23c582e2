"""The values that metrics took during a run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from nbmlops.entities import MetricHistory, mode_of
from nbmlops.store.backend import backend
from nbmlops.store.connection import Store, answering
from nbmlops.store.runs.queries import as_logged

if TYPE_CHECKING:
    from mlflow.entities import Metric

_POINTS = 100
# A database gives 300,000 values a second, a server 50,000.
_MOST_VALUES = 1_000_000
_SAMPLE = 2500  # the most a server takes for one answer
_PAGE, _MOST_PAGES = 25_000, 4
_MOST_ASKED = 200


def list_histories(
    store: Store, run_ids: Sequence[str]
) -> tuple[Mapping[str, MetricHistory], ...]:
    """Return the history of every metric of some runs."""
    with answering(store):
        tracking = backend(store)
        latest: list[dict[str, Metric]] = [
            {metric.key: metric for metric in tracking.get_run(each).data._metric_objs}
            for each in run_ids
        ]
        if hasattr(tracking, "ManagedSessionMaker"):
            return tuple(
                _from_database(tracking, run_id, last)
                for run_id, last in zip(run_ids, latest, strict=True)
            )
        return _from_server(tracking, run_ids, latest)


def _from_database(
    tracking: Any,  # noqa: ANN401 - MLflow's store
    run_id: str,
    latest: Mapping[str, Metric],
) -> Mapping[str, MetricHistory]:
    from mlflow.store.tracking.dbmodels.models import SqlMetric
    from sqlalchemy import select

    # Along an index of MLflow's: everything is read once, as it lies.
    query: Any = (
        select(SqlMetric.key, SqlMetric.step, SqlMetric.value, SqlMetric.is_nan)
        .where(SqlMetric.run_uuid == run_id)
        .order_by(SqlMetric.key, SqlMetric.step, SqlMetric.timestamp)
        .limit(_MOST_VALUES + 1)
        .execution_options(yield_per=_PAGE)
    )
    found = {key: _fold(metric, (), is_whole=False) for key, metric in latest.items()}
    with tracking.ManagedSessionMaker() as session:
        # Past the mapper, whose rows cost more than twice the time.
        rows = iter(session.connection().execute(query))
        readable = itertools.islice(rows, _MOST_VALUES)
        for key, group in itertools.groupby(readable, key=itemgetter(0)):
            if key in latest:  # else it was logged since
                values = (
                    (step, math.nan if is_nan else as_logged(value))
                    for _, step, value, is_nan in group
                )
                found[key] = _fold(latest[key], values)
        cut = next(rows, None)
        if cut is not None and cut[0] in found:
            found[cut[0]] = replace(found[cut[0]], is_whole=False)
    return found


def _from_server(
    tracking: Any,  # noqa: ANN401 - MLflow's store
    run_ids: Sequence[str],
    latest: Sequence[Mapping[str, Metric]],
) -> tuple[Mapping[str, MetricHistory], ...]:
    def is_alike(key: str) -> bool:
        ends = {(m[key].step, m[key].value) if key in m else None for m in latest}
        return len(ends) == 1

    keys = sorted({key for each in latest for key in each})
    asked = set(sorted(keys, key=is_alike)[:_MOST_ASKED])
    found: tuple[dict[str, MetricHistory], ...] = tuple({} for _ in run_ids)
    for key in keys:
        samples = _sample(tracking, run_ids, key) if key in asked else {}
        for run_id, last, mine in zip(run_ids, latest, found, strict=True):
            if key in last:
                values: Sequence[Metric] = samples.get(run_id, ())
                is_whole = 0 < len(values) < _SAMPLE
                if len(values) >= _SAMPLE:
                    paged = _pages(tracking, run_id, key)
                    values, is_whole = (paged, True) if paged else (values, False)
                points = ((item.step, as_logged(item.value)) for item in values)
                mine[key] = _fold(last[key], points, is_whole=is_whole)
    return found


def _sample(
    tracking: Any,  # noqa: ANN401 - MLflow's store
    run_ids: Sequence[str],
    key: str,
) -> Mapping[str, list[Metric]]:
    """Return values of a metric, chosen evenly, at most `_SAMPLE` a run."""
    from mlflow.entities import Metric
    from mlflow.protos.service_pb2 import GetMetricHistoryBulkInterval
    from mlflow.utils.proto_json_utils import message_to_json

    asked = GetMetricHistoryBulkInterval(
        run_ids=run_ids, metric_key=key, max_results=_SAMPLE
    )
    answer = tracking._call_endpoint(
        GetMetricHistoryBulkInterval, message_to_json(asked)
    )
    found: dict[str, list[Metric]] = {}
    for item in answer.metrics:
        found.setdefault(item.run_id, []).append(
            Metric(item.key, item.value, item.timestamp, item.step)
        )
    return found


def _pages(
    tracking: Any,  # noqa: ANN401 - MLflow's store
    run_id: str,
    key: str,
) -> list[Metric]:
    """Return all values of a metric in the order of steps; none when too many."""
    found: list[Metric] = []
    token = None
    for _ in range(_MOST_PAGES):
        page = tracking.get_metric_history(
            run_id, key, max_results=_PAGE, page_token=token
        )
        found += page
        token = page.token
        if token is None:
            return sorted(found, key=lambda item: (item.step, item.timestamp))
    return []


def _fold(
    latest: Metric, values: Iterable[tuple[int, float]], *, is_whole: bool = True
) -> MetricHistory:
    """Return a history, its values read once and an even choice of them kept."""
    mode = mode_of(latest.key)
    sign = -1 if mode == "min" else 1
    kept: list[tuple[int, tuple[int, float]]] = []
    best = end = None
    stride = 1
    for entry in enumerate(values):
        end = entry
        index, (_, value) = entry
        is_candidate = mode is not None and math.isfinite(value)
        if is_candidate and (best is None or sign * value > sign * best[1][1]):
            best = entry
        if index % stride == 0:
            kept.append(entry)
            if len(kept) > 2 * _POINTS:
                kept, stride = kept[::2], 2 * stride
    if len(kept) > _POINTS:
        kept = kept[::2]
    chosen = dict([*kept, *filter(None, (best, end))])
    return MetricHistory(
        last=as_logged(latest.value),
        last_step=latest.step,
        best=best[1][1] if best else None,
        best_step=best[1][0] if best else None,
        points=tuple(chosen[index] for index in sorted(chosen)),
        is_whole=is_whole,
    )
