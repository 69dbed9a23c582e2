"""Runs read straight from the tables of MLflow's database.

MLflow's own search makes objects of every value a run has, at half a millisecond a
run. Here the database says which runs, in which order, and hands over the asked values
alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nbmlops.entities import (
    ORDER,
    ORDER_CELLS,
    AskedColumns,
    Autologged,
    DatasetInput,
    Order,
    Page,
    Run,
    short_end,
)
from nbmlops.store.connection import Store, answering
from nbmlops.store.database import Connection, connected, offset_of, select
from nbmlops.store.runs.fields import (
    ATTEMPT,
    ATTEMPT_OF,
    PARENT,
    SOURCE,
    Points,
    RunHeader,
    RunQuery,
    as_number,
    ended_at,
    header_of,
    shown_tags,
    to_utc,
)
from nbmlops.store.runs.search_language import Selection, add_filter, add_order

_FIRST_CHUNK, _LARGEST_CHUNK = 200, 5000
_ALWAYS_READ = (SOURCE, PARENT, ORDER, ORDER_CELLS)
_RUNS = (
    "SELECT r.run_uuid, r.name, r.status, r.start_time, r.end_time, e.name, r.user_id "
    "FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id "
    "WHERE r.run_uuid IN :ids"
)
_MODELS = (
    "SELECT i.source_id, i.destination_id FROM inputs i LEFT JOIN logged_models m "
    "ON m.model_id = i.destination_id WHERE i.source_type = 'RUN_OUTPUT' "
    "AND i.destination_type = 'MODEL_OUTPUT' AND i.source_id IN :ids "
    "ORDER BY m.creation_timestamp_ms"
)
_DATASETS = (
    "SELECT DISTINCT i.destination_id, d.name, d.digest FROM inputs i "
    "JOIN datasets d ON d.dataset_uuid = i.source_id WHERE i.source_type = 'DATASET' "
    "AND i.destination_type = 'RUN' AND i.destination_id IN :ids ORDER BY 2, 3"
)
_ENDING = (
    "SELECT v.run_uuid, v.key, v.value FROM params v WHERE v.run_uuid IN :ids "
    "AND substr(v.key, length(v.key) - :length + 1) = :end"
)
# Each point is found by a look into the index over run, metric and step, so a history
# of a million steps costs as much as one of a hundred.
_THINNED = """
WITH RECURSIVE parts(part) AS (
  SELECT 0 UNION ALL SELECT part + 1 FROM parts WHERE part < :last
), series AS (
  SELECT l.run_uuid, l.key, l.step AS high, (
    SELECT min(f.step) FROM metrics f WHERE f.run_uuid = l.run_uuid AND f.key = l.key
  ) AS low
  FROM latest_metrics l
  WHERE l.run_uuid IN :ids AND l.key IN :keys AND l.step != 0
), steps AS (
  SELECT DISTINCT s.run_uuid, s.key, (
    SELECT min(n.step) FROM metrics n WHERE n.run_uuid = s.run_uuid AND n.key = s.key
    AND n.step >= s.low + (s.high - s.low) * p.part / :last
  ) AS step
  FROM series s JOIN parts p ON s.high > s.low
)
SELECT t.run_uuid, t.key, t.step, (
  SELECT CASE WHEN a.is_nan THEN NULL ELSE a.value END FROM metrics a
  WHERE a.run_uuid = t.run_uuid AND a.key = t.key AND a.step = t.step LIMIT 1
) FROM steps t
"""


class TableReader:
    """Reads runs from the database that holds them."""

    scan_limit = 20_000

    def __init__(self, store: Store, query: RunQuery) -> None:
        self._store = store
        self._query = query

    def heads(self) -> Iterator[Sequence[RunHeader]]:
        """Yield the runs in order, a chunk at a time."""
        size, offset = _FIRST_CHUNK, 0
        while True:
            with connected(self._store) as connection:
                found = self._selection(connection)
                chunk = self._heads(connection, found, limit=size, offset=offset)
            yield chunk
            if len(chunk) < size:
                return
            offset, size = offset + size, min(2 * size, _LARGEST_CHUNK)

    def page(self, limit: int, token: str | None) -> Page[Run]:
        """Return a page of all that the query finds, with all of each run."""
        offset = offset_of(token)
        with connected(self._store) as connection:
            found = self._selection(connection)
            heads = self._heads(connection, found, limit=limit + 1, offset=offset)
        return Page(
            items=self.runs([head.run_id for head in heads[:limit]], None),
            next_page_token=str(offset + limit) if len(heads) > limit else None,
        )

    def runs(
        self, run_ids: Sequence[str], columns: AskedColumns | None
    ) -> tuple[Run, ...]:
        """Return runs in the order given, holding the asked columns alone."""
        ids = list(run_ids)
        if not ids:
            return ()
        wanted = columns.names if columns else lambda kind: None
        param_names, tag_names = wanted("params"), wanted("tags")
        read_tags = None if tag_names is None else (*tag_names, *_ALWAYS_READ)
        with connected(self._store) as connection:
            rows = connection.query(_RUNS, ids=ids)
            params = _values(connection, "params", ids, param_names)
            tags = _values(connection, "tags", ids, read_tags)
            metrics = _values(connection, "latest_metrics", ids, wanted("metrics"))
            for name in param_names or ():  # a short name of what autolog recorded
                others = (*metrics.values(), *tags.values())
                lack = [each for each in ids if name not in params.get(each, ())]
                if lack and not any(name in each for each in others):
                    end = short_end(name)
                    for run_id, key, value in connection.query(
                        _ENDING, ids=lack, end=end, length=len(end)
                    ):
                        params[run_id][key] = value
            has_models = columns is None or "model" in columns.names("attributes")
            models = dict(connection.query(_MODELS, ids=ids)) if has_models else {}
            datasets = defaultdict[str, list[DatasetInput]](list)
            for run_id, name, digest in (
                connection.query(_DATASETS, ids=ids) if columns is None else ()
            ):
                datasets[run_id].append(DatasetInput(name=name, digest=digest))
        found = {}
        for run_id, name, status, start_ms, end_ms, experiment, user in rows:
            given, logged = tags[run_id], params[run_id]
            found[run_id] = Run(
                run_id=run_id,
                name=name or "",
                experiment=experiment,
                status=status,
                started_at=to_utc(start_ms),
                ended_at=ended_at(status, end_ms),
                params=logged,
                metrics=metrics[run_id],
                tags=shown_tags(given)
                if tag_names is None
                else {tag: given[tag] for tag in tag_names if tag in given},
                source=given.get(SOURCE),
                parent_run_id=given.get(PARENT),
                model_id=models.get(run_id),
                order_note=Order.of(given).note,
                autologged=Autologged.of(logged, given),
                user=user or None,
                datasets=tuple(datasets[run_id]),
            )
        return tuple(found[run_id] for run_id in ids if run_id in found)

    def attempts(self, groups: Sequence[str]) -> Mapping[str, Sequence[RunHeader]]:
        """Return the attempts of groups that the query finds, newest first."""
        if not groups:
            return {}
        with connected(self._store) as connection:
            found = self._selection(connection)
            found.joins.append(
                "JOIN tags g ON g.run_uuid = r.run_uuid "
                f"AND g.key = {found.name(ATTEMPT_OF)} "
                f"AND g.value IN {found.name(list(groups))}"
            )
            heads = self._heads(connection, found)
        members: dict[str, list[RunHeader]] = defaultdict(list)
        for head in sorted(heads, key=lambda head: head.age, reverse=True):
            members[head.group or ""].append(head)
        return members

    def living(self, run_ids: Sequence[str]) -> frozenset[str]:
        """Return which runs are in the query's experiments and not deleted."""
        if not run_ids:
            return frozenset()
        found = self._visible()
        found.conditions.append(f"r.run_uuid IN {found.name(list(run_ids))}")
        rows = select(self._store, found.statement("r.run_uuid"), **found.values)
        return frozenset(run_id for (run_id,) in rows)

    def curves(
        self, run_ids: Sequence[str], metrics: Sequence[str], *, n_points: int
    ) -> Mapping[tuple[str, str], Points]:
        """Return steps and values of metrics that have steps, evenly thinned."""
        curves: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
        asked = {"ids": list(run_ids), "keys": list(metrics), "last": n_points - 1}
        for run_id, key, step, value in select(self._store, _THINNED, **asked):
            curves[run_id, key].append((step, as_number(value)))
        return {series: sorted(points) for series, points in curves.items()}

    def _visible(self) -> Selection:
        found = Selection(conditions=["r.lifecycle_stage = 'active'"])
        ids = [int(each) for each in self._query.experiment_ids]
        found.conditions.append(f"r.experiment_id IN {found.name(ids)}")
        return found

    def _selection(self, connection: Connection) -> Selection:
        found = self._visible()
        with answering(self._store):
            add_filter(found, self._query.filter)
            add_order(found, self._query.order_by, regexp=connection.regexp)
        return found

    def _heads(
        self,
        connection: Connection,
        found: Selection,
        *,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[RunHeader]:
        statement = found.statement("r.run_uuid, r.start_time")
        if limit is not None:
            statement += f" LIMIT {limit} OFFSET {offset}"
        rows = connection.query(statement, **found.values)
        ids = [run_id for run_id, _ in rows] if self._query.is_folded else []
        tags = _values(connection, "tags", ids, (ATTEMPT_OF, ATTEMPT, PARENT))
        return [header_of(run_id, start_ms, tags[run_id]) for run_id, start_ms in rows]


def _values(
    connection: Connection,
    table: str,
    run_ids: Sequence[str],
    names: Sequence[str] | None,
) -> dict[str, dict[str, Any]]:
    """Return params, tags or metrics of runs."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    if not run_ids or names == ():
        return found
    is_metric = table == "latest_metrics"
    value = "CASE WHEN v.is_nan THEN NULL ELSE v.value END" if is_metric else "v.value"
    is_named = " AND v.key IN :names" * (names is not None)
    statement = (
        f"SELECT v.run_uuid, v.key, {value} FROM {table} v "  # noqa: S608
        f"WHERE v.run_uuid IN :ids{is_named}"
    )
    for run_id, key, text in connection.query(
        statement, ids=list(run_ids), names=list(names or ())
    ):
        found[run_id][key] = as_number(text) if is_metric else text
    return found
