"""Runs read straight from the tables of MLflow's database.

MLflow's own search makes objects of every value a run has, at half a millisecond a
run. Here the database says which runs, in which order, and hands over the asked values
alone. The filter is MLflow's: parsed, checked and turned into SQL by MLflow.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nbmlops.entities import ORDER, ORDER_CELLS, AskedColumns, Autologged, Order, Run
from nbmlops.store.connection import Store, answering
from nbmlops.store.runs.protocols import (
    ATTEMPT,
    ATTEMPT_OF,
    Attempt,
    Head,
    Points,
    RunQuery,
    head_of,
)
from nbmlops.store.runs.queries import as_logged, ended_at, shown_tags, to_utc
from nbmlops.store.runs.runs import PARENT, SOURCE
from nbmlops.store.runs.sql import (
    filtered,
    mappers,
    ordered,
    thinned,
    values_ending,
    values_of,
)

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

_FIRST_CHUNK, _LARGEST_CHUNK = 200, 5000
_NOTES = (SOURCE, PARENT, ORDER, ORDER_CELLS)
_USED = (
    "ManagedSessionMaker",
    "_filter_experiment_ids",
    "_get_dialect",
    "_get_model_outputs_bulk",
)


class TableReader:
    """Reads runs from the database that holds them."""

    scan_limit = 20_000

    def __init__(self, store: Store, query: RunQuery) -> None:
        self._store = store
        self._query = query
        self._tracking: Any = store.client._tracking_client.store
        self._experiments: dict[int, str] = {}

    @staticmethod
    def can_read(store: Store) -> bool:
        """Return whether the store is a database of MLflow's as known here.

        What is used of MLflow beyond its public interface is named here: should it go,
        runs are read as from a server, correctly but slowly.
        """
        from mlflow.store.tracking import sqlalchemy_store

        tracking = store.client._tracking_client.store
        return (
            isinstance(tracking, sqlalchemy_store.SqlAlchemyStore)
            and hasattr(sqlalchemy_store, "_get_sqlalchemy_filter_clauses")
            and all(hasattr(tracking, name) for name in _USED)
        )

    def heads(self) -> Iterator[Sequence[Head]]:
        """Yield the runs in order, a chunk at a time."""
        size, offset = _FIRST_CHUNK, 0
        last: Head | None = None
        while True:
            with self._session() as session:
                found = ordered(self._found(session), self._query.order_by)
                if self._query.order_by is None and last is not None:
                    # Runs that begin meanwhile must not push others onto two pages.
                    found = found.where(_is_older(last))
                else:
                    found = found.offset(offset)
                chunk = self._heads(session, found.limit(size))
            if chunk:
                yield chunk
                last, offset = chunk[-1], offset + len(chunk)
            if len(chunk) < size:
                return
            size = min(2 * size, _LARGEST_CHUNK)

    def runs(
        self, run_ids: Sequence[str], columns: AskedColumns | None
    ) -> tuple[Run, ...]:
        """Return runs in the order given, holding the asked columns alone."""
        from sqlalchemy import select

        tables, ids = mappers(), list(run_ids)
        table = tables.SqlRun
        metric_names = columns.names("metrics") if columns else None
        param_names = columns.names("params") if columns else None
        tag_names = columns.names("tags") if columns else None
        notes = None if tag_names is None else (*tag_names, *_NOTES)
        with self._session() as session:
            rows = session.execute(
                select(
                    table.run_uuid,
                    table.name,
                    table.status,
                    table.start_time,
                    table.end_time,
                    table.experiment_id,
                ).where(table.run_uuid.in_(ids))
            ).all()
            params = values_of(session, tables.SqlParam, ids, param_names)
            tags = values_of(session, tables.SqlTag, ids, notes)
            metrics = values_of(
                session, tables.SqlLatestMetric, ids, metric_names, "is_nan"
            )
            for name in param_names or ():  # a short name of what autolog recorded
                others = (*metrics.values(), *tags.values())
                lack = [each for each in ids if name not in params.get(each, ())]
                if lack and not any(name in each for each in others):
                    ending = values_ending(session, tables.SqlParam, lack, name)
                    for run_id, more in ending.items():
                        params[run_id] = params.get(run_id, {}) | more
            models = {}
            if columns is None or "model" in columns.names("attributes"):
                models = self._tracking._get_model_outputs_bulk(ids, session)
        found = {
            row.run_uuid: Run(
                run_id=row.run_uuid,
                name=row.name or "",
                experiment=self._experiment(row.experiment_id),
                status=row.status,
                started_at=to_utc(row.start_time),
                ended_at=ended_at(row.status, row.end_time),
                params=params.get(row.run_uuid, {}),
                metrics={
                    key: math.nan if is_nan else as_logged(value)
                    for key, (value, is_nan) in metrics.get(row.run_uuid, {}).items()
                },
                tags=_shown(tags.get(row.run_uuid, {}), tag_names),
                source=tags.get(row.run_uuid, {}).get(SOURCE),
                parent_run_id=tags.get(row.run_uuid, {}).get(PARENT),
                model_id=_newest_model(models.get(row.run_uuid)),
                order_note=Order.of(tags.get(row.run_uuid, {})).note,
                autologged=Autologged.of(
                    params.get(row.run_uuid, {}), tags.get(row.run_uuid, {})
                ),
            )
            for row in rows
        }
        return tuple(found[run_id] for run_id in ids if run_id in found)

    def attempts(self, groups: Sequence[str]) -> Mapping[str, Sequence[Head]]:
        """Return the attempts of groups that the query finds, newest first."""
        if not groups:
            return {}
        with self._session() as session:
            heads = self._heads(session, self._attempts(session, groups))
        members: dict[str, list[Head]] = defaultdict(list)
        for head in sorted(heads, key=lambda head: head.age, reverse=True):
            members[head.group or ""].append(head)
        return members

    def newest(self, group: str) -> Attempt | None:
        """Return the attempt of a group that began last, None without any."""
        heads = self.attempts([group]).get(group)
        if not heads:
            return None
        tables, run_id = mappers(), heads[0].run_id
        with self._session() as session:
            tags = values_of(session, tables.SqlTag, [run_id], None)
            params = values_of(session, tables.SqlParam, [run_id], None)
        return Attempt(tags=tags[run_id], params=params[run_id])

    def living(self, run_ids: Sequence[str]) -> frozenset[str]:
        """Return which runs are in the query's experiments and not deleted."""
        if not run_ids:
            return frozenset()
        with self._session() as session:
            found = self._found(session, filter="")
            found = found.where(mappers().SqlRun.run_uuid.in_(run_ids))
            return frozenset(row.run_uuid for row in session.execute(found))

    def curves(
        self, run_ids: Sequence[str], metrics: Sequence[str], *, n_points: int
    ) -> Mapping[tuple[str, str], Points]:
        """Return steps and values of metrics that have steps, evenly thinned."""
        curves: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
        with self._session() as session:
            points = session.execute(thinned(run_ids, metrics, n_points))
            for run_id, key, step, value in points:
                number = math.nan if value is None else as_logged(value)
                curves[run_id, key].append((step, number))
        return {series: sorted(points) for series, points in curves.items()}

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with answering(self._store), self._tracking.ManagedSessionMaker() as session:
            yield session

    def _found(self, session: Session, *, filter: str | None = None) -> Select[Any]:
        visible = self._tracking._filter_experiment_ids(
            session, [int(each) for each in self._query.experiment_ids]
        )
        return filtered(
            session,
            self._query.filter if filter is None else filter,
            experiment_ids=visible,
            dialect=self._tracking._get_dialect(),
        )

    def _attempts(self, session: Session, groups: Sequence[str]) -> Select[Any]:
        tag = mappers().SqlTag
        return (
            self._found(session)
            .join(tag, tag.run_uuid == mappers().SqlRun.run_uuid)
            .where(tag.key == ATTEMPT_OF, tag.value.in_(groups))
        )

    def _heads(self, session: Session, found: Select[Any]) -> list[Head]:
        rows = session.execute(found).all()
        ids = [row.run_uuid for row in rows] if self._query.is_folded else []
        notes = (ATTEMPT_OF, ATTEMPT, PARENT)
        tags = values_of(session, mappers().SqlTag, ids, notes)
        return [
            head_of(row.run_uuid, row.start_time, tags.get(row.run_uuid, {}), PARENT)
            for row in rows
        ]

    def _experiment(self, experiment_id: int) -> str:
        if experiment_id not in self._experiments:
            found = self._store.client.get_experiment(str(experiment_id))
            self._experiments[experiment_id] = found.name
        return self._experiments[experiment_id]


def _is_older(head: Head) -> Any:  # noqa: ANN401 - as the mappers
    """Return the condition that a run comes after this one, newest first."""
    from sqlalchemy import and_, or_

    run = mappers().SqlRun
    return or_(
        run.start_time < head.started_ms,
        and_(run.start_time == head.started_ms, run.run_uuid > head.run_id),
    )


def _shown(tags: Mapping[str, str], names: Sequence[str] | None) -> Mapping[str, str]:
    if names is None:
        return shown_tags(tags)
    return {name: tags[name] for name in names if name in tags}


def _newest_model(outputs: Sequence[Any] | None) -> str | None:
    return outputs[-1].model_id if outputs else None
