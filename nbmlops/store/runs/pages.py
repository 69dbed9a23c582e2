"""Runs read through MLflow's client: for servers, and stores that are no database."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbmlops.entities import AskedColumns, Run
from nbmlops.store.connection import Store, answering
from nbmlops.store.runs.protocols import (
    ATTEMPT_OF,
    Attempt,
    Head,
    Points,
    RunQuery,
    head_of,
)
from nbmlops.store.runs.queries import (
    as_logged,
    experiment_names,
    quoted,
    search_page,
    to_run,
    token_of,
)
from nbmlops.store.runs.runs import PARENT

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

_FIRST_CHUNK, _LARGEST_CHUNK = 50, 1000
_MOST_ATTEMPTS, _FEW_ATTEMPTS = 100, 10
_HISTORY = "/api/2.0/mlflow/metrics/get-history-bulk-interval"
_RUNS_A_REQUEST = 100


class PageReader:
    """Reads runs page by page, as a server gives them."""

    scan_limit = 2_000

    def __init__(self, store: Store, query: RunQuery) -> None:
        self._store = store
        self._query = query
        self._kept: dict[str, MlflowRun] = {}

    def heads(self) -> Iterator[Sequence[Head]]:
        """Yield the runs in order, a chunk at a time."""
        with answering(self._store):
            metric = _metric_of(self._query.order_by)
        chunks = self._chunks()
        for runs in _endless_last(chunks, metric) if metric else chunks:
            self._kept = {run.info.run_id: run for run in runs}
            yield [_head(run) for run in runs]

    def runs(
        self, run_ids: Sequence[str], columns: AskedColumns | None
    ) -> tuple[Run, ...]:
        """Return runs in the order given, holding the asked columns alone."""
        found = self._read(run_ids)
        with answering(self._store):
            names = experiment_names(self._store, list(found.values()))
        read = [found[run_id] for run_id in run_ids if run_id in found]
        if columns is None:
            return tuple(to_run(self._store, run, names) for run in read)
        return tuple(
            replace(to_run(self._store, run, names), tags=run.data.tags).only(columns)
            for run in read
        )

    def attempts(self, groups: Sequence[str]) -> Mapping[str, Sequence[Head]]:
        """Return the attempts of groups that the query finds, newest first."""
        members = {}
        for group in groups:  # one by one: MLflow's language has no IN for tags
            found = self._search(_is_attempt_of(group), limit=_MOST_ATTEMPTS)
            heads = map(_head, found)
            members[group] = sorted(heads, key=lambda head: head.age, reverse=True)
        return members

    def newest(self, group: str) -> Attempt | None:
        """Return the attempt of a group that began last, None without any."""
        found = self._search(_is_attempt_of(group), limit=_FEW_ATTEMPTS)
        if not found:
            return None
        # Of those that began at about the same time the one of the highest number.
        newest = max(found, key=lambda run: _head(run).age)
        return Attempt(tags=newest.data.tags, params=newest.data.params)

    def living(self, run_ids: Sequence[str]) -> frozenset[str]:
        """Return which runs are in the query's experiments and not deleted."""
        return frozenset(self._read(run_ids))

    def curves(
        self, run_ids: Sequence[str], metrics: Sequence[str], *, n_points: int
    ) -> Mapping[tuple[str, str], Points]:
        """Return steps and values of metrics that have steps, evenly thinned."""
        found = self._read(run_ids) if self._store.is_served else {}
        curves: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
        for name in metrics:
            stepped = [
                run_id
                for run_id, run in found.items()
                if any(m.key == name and m.step for m in run.data._metric_objs)
            ]
            for start in range(0, len(stepped), _RUNS_A_REQUEST):
                part = stepped[start : start + _RUNS_A_REQUEST]
                for point in self._histories(part, name, n_points):
                    value = as_logged(float(point["value"]))
                    step = int(point.get("step", 0))
                    curves[point["run_id"], name].append((step, value))
        return {series: points for series, points in curves.items() if len(points) > 1}

    def _histories(
        self, run_ids: Sequence[str], metric: str, n_points: int
    ) -> Sequence[dict[str, Any]]:
        from mlflow.utils.rest_utils import http_request

        with answering(self._store):
            response = http_request(
                self._store.client._tracking_client.store.get_host_creds(),
                _HISTORY,
                "GET",
                params={
                    "run_ids": list(run_ids),
                    "metric_key": metric,
                    "max_results": n_points,
                },
            )
        if response.status_code != 200:
            return ()  # an older server lacks the route; the rows stand without curves
        points: Sequence[dict[str, Any]] = response.json().get("metrics", ())
        return points

    def _chunks(self) -> Iterator[list[MlflowRun]]:
        size, token = _FIRST_CHUNK, None
        while True:
            with answering(self._store):
                page = search_page(
                    self._store,
                    self._query.experiment_ids,
                    filter=self._query.filter,
                    order_by=[self._query.order_by] if self._query.order_by else (),
                    limit=size,
                    page_token=token,
                )
            yield list(page)
            token = token_of(page)
            if token is None:
                return
            size = min(2 * size, _LARGEST_CHUNK)

    def _search(self, condition: str, *, limit: int) -> Sequence[MlflowRun]:
        conditions = filter(None, (self._query.filter, condition))
        with answering(self._store):
            return search_page(
                self._store,
                self._query.experiment_ids,
                filter=" AND ".join(conditions),
                limit=limit,
            )

    def _read(self, run_ids: Sequence[str]) -> dict[str, MlflowRun]:
        """Return runs by id; those of the last chunk are at hand."""
        found = {each: self._kept[each] for each in run_ids if each in self._kept}
        missing = [run_id for run_id in run_ids if run_id not in found]
        for start in range(0, len(missing), _LARGEST_CHUNK):
            part = missing[start : start + _LARGEST_CHUNK]
            with answering(self._store):
                read = search_page(
                    self._store,
                    self._query.experiment_ids,
                    filter=f"attributes.run_id IN ({', '.join(map(quoted, part))})",
                    limit=len(part),
                )
            found |= {run.info.run_id: run for run in read}
        return found


def _is_attempt_of(group: str) -> str:
    return f"tags.{ATTEMPT_OF} = {quoted(group)}"


def _head(run: MlflowRun) -> Head:
    return head_of(run.info.run_id, run.info.start_time, run.data.tags, PARENT)


def _metric_of(order_by: str | None) -> str | None:
    from mlflow.utils.search_utils import SearchUtils

    if order_by is None:
        return None
    kind, key, _ = SearchUtils.parse_order_by_for_search_runs(order_by)
    return str(key) if kind == "metric" else None


def _endless_last(
    chunks: Iterable[Sequence[MlflowRun]], metric: str
) -> Iterator[list[MlflowRun]]:
    """Put runs whose metric is infinite behind those where it is finite."""
    endless: list[MlflowRun] = []
    for runs in chunks:
        chunk: list[MlflowRun] = []
        for run in runs:
            value = run.data.metrics.get(metric)
            if value is not None and math.isinf(as_logged(value)):
                endless.append(run)
                continue
            if endless and (value is None or math.isnan(value)):
                chunk += endless
                endless = []
            chunk.append(run)
        yield chunk
    yield endless
