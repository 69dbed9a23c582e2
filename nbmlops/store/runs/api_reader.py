"""Runs read by MLflow's REST API: for servers, and stores that are no database."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from nbmlops.entities import (
    AskedColumns,
    Autologged,
    DatasetInput,
    Order,
    Page,
    Run,
)
from nbmlops.errors import NotFoundError, StoreError, UsageError
from nbmlops.store import rest
from nbmlops.store.connection import Store, answering
from nbmlops.store.experiments import experiment_name
from nbmlops.store.runs.fields import (
    ATTEMPT_OF,
    PARENT,
    SOURCE,
    Points,
    RunHeader,
    RunQuery,
    as_logged,
    ended_at,
    header_of,
    shown_tags,
    to_utc,
)
from nbmlops.store.runs.search_language import parse_order, quoted

_FIRST_CHUNK, _LARGEST_CHUNK = 50, 1000
_MOST_ATTEMPTS = 100
_RUNS_A_REQUEST = 100


@dataclass(frozen=True, slots=True)
class _Record:
    """A run as the API gives it."""

    item: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        return str(self.item["info"]["run_id"])

    @property
    def metrics(self) -> dict[str, float]:
        return {
            each["key"]: as_logged(float(each["value"]))
            for each in self.item["data"].get("metrics", ())
        }

    @property
    def params(self) -> dict[str, str]:
        return self._texts("params")

    @property
    def tags(self) -> dict[str, str]:
        return self._texts("tags")

    @property
    def datasets(self) -> tuple[DatasetInput, ...]:
        inputs = self.item.get("inputs", {}).get("dataset_inputs", ())
        used = [each["dataset"] for each in inputs]
        found = {(each["name"], each["digest"]) for each in used}
        return tuple(DatasetInput(name=n, digest=d) for n, d in sorted(found))

    @property
    def head(self) -> RunHeader:
        return header_of(self.run_id, self.item["info"]["start_time"], self.tags)

    def has_steps(self, metric: str) -> bool:
        """Whether a metric was last logged at a step."""
        return any(
            each["key"] == metric and each.get("step", 0)
            for each in self.item["data"].get("metrics", ())
        )

    def _texts(self, kind: str) -> dict[str, str]:
        given = self.item["data"].get(kind, ())
        return {each["key"]: each.get("value", "") for each in given}


class ApiReader:
    """Reads runs page by page, as a server gives them."""

    scan_limit = 2_000

    def __init__(self, store: Store, query: RunQuery) -> None:
        self._store = store
        self._query = query
        self._kept: dict[str, _Record] = {}
        self._experiments: dict[str, str] = {}

    def heads(self) -> Iterator[Sequence[RunHeader]]:
        """Yield the runs in order, a chunk at a time."""
        chunks = self._chunks()
        if self._query.order_by is not None:
            with answering(self._store):
                kind, key, _ = parse_order(self._query.order_by)
            chunks = _endless_last(chunks, key) if kind == "metric" else chunks
        for runs in chunks:
            self._kept = {run.run_id: run for run in runs}
            yield [run.head for run in runs]

    def page(self, limit: int, token: str | None) -> Page[Run]:
        """Return a page of all that the query finds, with all of each run."""
        found, following = self._search(self._query.filter, limit=limit, token=token)
        return Page(
            items=tuple(self._run(each) for each in found), next_page_token=following
        )

    def runs(
        self, run_ids: Sequence[str], columns: AskedColumns | None
    ) -> tuple[Run, ...]:
        """Return runs in the order given, holding the asked columns alone."""
        found = self._read(run_ids)
        read = [found[run_id] for run_id in run_ids if run_id in found]
        if columns is None:
            return tuple(self._run(each) for each in read)
        return tuple(
            replace(self._run(each), tags=each.tags).only(columns) for each in read
        )

    def run(self, run_id: str) -> Run:
        """Return one run, of whatever experiment."""
        return self._run(_Record(rest.get_run(self._store, run_id)))

    def attempts(self, groups: Sequence[str]) -> Mapping[str, Sequence[RunHeader]]:
        """Return the attempts of groups that the query finds, newest first."""
        members = {}
        for group in groups:  # one by one: MLflow's language has no IN for tags
            is_attempt = f"tags.{ATTEMPT_OF} = {quoted(group)}"
            conditions = " AND ".join(filter(None, (self._query.filter, is_attempt)))
            found, _ = self._search(conditions, limit=_MOST_ATTEMPTS, is_ordered=False)
            found.sort(key=lambda run: run.head.age, reverse=True)
            self._kept |= {run.run_id: run for run in found[:1]}
            members[group] = [run.head for run in found]
        return members

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
            stepped = [each for each, run in found.items() if run.has_steps(name)]
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
        try:
            return read_histories(self._store, run_ids, metric, n_points)
        except (NotFoundError, UsageError, StoreError) as error:
            if isinstance(error, StoreError) and error.is_outage:
                raise
            return ()  # an older server lacks the route; the rows have no curves

    def _chunks(self) -> Iterator[list[_Record]]:
        size, token = _FIRST_CHUNK, None
        while True:
            found, token = self._search(self._query.filter, limit=size, token=token)
            yield found
            if token is None:
                return
            size = min(2 * size, _LARGEST_CHUNK)

    def _search(
        self,
        filter: str,
        *,
        limit: int,
        token: str | None = None,
        is_ordered: bool = True,
    ) -> tuple[list[_Record], str | None]:
        order = [self._query.order_by] if is_ordered and self._query.order_by else []
        answer = rest.post(
            self._store,
            "runs/search",
            experiment_ids=list(self._query.experiment_ids),
            filter=filter,
            order_by=[*order, "attributes.start_time DESC"],
            max_results=limit,
            page_token=token,
        )
        records = [_Record(each) for each in answer.get("runs", ())]
        return records, answer.get("next_page_token") or None

    def _read(self, run_ids: Sequence[str]) -> dict[str, _Record]:
        """Return runs by id; those of the last chunk are at hand."""
        found = {each: self._kept[each] for each in run_ids if each in self._kept}
        missing = [run_id for run_id in run_ids if run_id not in found]
        for start in range(0, len(missing), _LARGEST_CHUNK):
            part = missing[start : start + _LARGEST_CHUNK]
            among = f"attributes.run_id IN ({', '.join(map(quoted, part))})"
            read, _ = self._search(among, limit=len(part), is_ordered=False)
            found |= {run.run_id: run for run in read}
        return found

    def _run(self, record: _Record) -> Run:
        info, tags, params = record.item["info"], record.tags, record.params
        experiment_id = info["experiment_id"]
        if experiment_id not in self._experiments:
            self._experiments[experiment_id] = experiment_name(
                self._store, experiment_id
            )
        outputs = record.item.get("outputs", {}).get("model_outputs", ())
        return Run(
            run_id=record.run_id,
            name=info.get("run_name", ""),
            experiment=self._experiments[experiment_id],
            status=info["status"],
            started_at=to_utc(info["start_time"]),
            ended_at=ended_at(info["status"], info.get("end_time")),
            params=params,
            metrics=record.metrics,
            tags=shown_tags(tags),
            source=tags.get(SOURCE),
            parent_run_id=tags.get(PARENT),
            model_id=outputs[-1]["model_id"] if outputs else None,
            order_note=Order.of(tags).note,
            autologged=Autologged.of(params, tags),
            url=page_of(self._store, experiment_id, record.run_id),
            user=info.get("user_id") or None,
            datasets=record.datasets,
        )


def read_histories(
    store: Store, run_ids: Sequence[str], metric: str, n_points: int
) -> Sequence[dict[str, Any]]:
    """Return values of a metric, chosen evenly by the server, at most so many a run."""
    answer = rest.get(
        store,
        "metrics/get-history-bulk-interval",
        run_ids=list(run_ids),
        metric_key=metric,
        max_results=n_points,
    )
    points: Sequence[dict[str, Any]] = answer.get("metrics", ())
    return points


def page_of(store: Store, experiment_id: str, run_id: str) -> str | None:
    """Return the address of MLflow's page of a run; None where nothing serves it."""
    if not store.is_served:
        return None
    parts = urlsplit(store.uri)
    path = f"{parts.path.rstrip('/')}/"  # without the name and password of the URI
    page = f"/experiments/{experiment_id}/runs/{run_id}"
    return urlunsplit((parts.scheme, store.host, path, "", page))


def _endless_last(
    chunks: Iterable[Sequence[_Record]], metric: str
) -> Iterator[list[_Record]]:
    """Put runs whose metric is infinite behind those where it is finite."""
    endless: list[_Record] = []
    for runs in chunks:
        chunk: list[_Record] = []
        for run in runs:
            value = run.metrics.get(metric)
            if value is not None and math.isinf(value):
                endless.append(run)
                continue
            if endless and (value is None or math.isnan(value)):
                chunk += endless
                endless = []
            chunk.append(run)
        yield chunk
    yield endless
