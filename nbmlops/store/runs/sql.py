"""Selections from the tables of MLflow's database: runs, their values, histories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbmlops.entities import short_end
from nbmlops.store.runs.queries import LARGEST

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

_NUMBER = r"^-?[0-9]{1,18}(\.[0-9]{0,18})?([eE][-+]?[0-9]{1,2})?$"


def mappers() -> Any:  # noqa: ANN401 - MLflow's mappers have no types
    """Return MLflow's module of mapped tables."""
    from mlflow.store.tracking.dbmodels import models

    return models


def filtered(
    session: Session, filter: str, *, experiment_ids: Sequence[int], dialect: str
) -> Select[Any]:
    """Return a selection of runs, id and start, in no order."""
    from mlflow.store.tracking.sqlalchemy_store import _get_sqlalchemy_filter_clauses
    from mlflow.utils.search_utils import SearchUtils
    from sqlalchemy import select

    run = mappers().SqlRun
    of_run, of_values, of_data = _get_sqlalchemy_filter_clauses(
        SearchUtils.parse_search_filter(filter), session, dialect
    )
    found = select(run.run_uuid, run.start_time).where(
        run.experiment_id.in_(experiment_ids),
        run.lifecycle_stage == "active",
        *of_run,
        # A run may hold one dataset more than once, and must not come twice for it.
        *(run.run_uuid.in_(select(each.c.destination_id)) for each in of_data),
    )
    for each in of_values:
        found = found.join(each, each.c.run_uuid == run.run_uuid)
    return found


def ordered(found: Select[Any], clause: str | None) -> Select[Any]:
    """Order runs by a clause of MLflow's, then the newest first.

    Numbers are ordered as numbers also when they are params. Texts come after them,
    infinities, NaN and what is missing last.
    """
    from mlflow.utils.search_utils import SearchUtils
    from sqlalchemy import Float, and_, case, cast, func

    tables = mappers()
    run = tables.SqlRun
    if clause is None:
        return found.order_by(run.start_time.desc(), run.run_uuid)
    kind, key, is_ascending = SearchUtils.parse_order_by_for_search_runs(clause)
    key = SearchUtils.translate_key_alias(key)
    if kind == "attribute":
        value = getattr(run, run.get_attribute_name(key))
        last, values = case((value.is_(None), 1), else_=0), [value]
    else:
        of_kind = {"metric": tables.SqlLatestMetric, "parameter": tables.SqlParam}
        table = of_kind.get(kind, tables.SqlTag)
        value = table.value
        found = found.outerjoin(
            table, and_(table.run_uuid == run.run_uuid, table.key == key)
        )
        if kind == "metric":
            is_endless = func.abs(value) >= LARGEST
            last = case(
                (value.is_(None), 3), (table.is_nan, 2), (is_endless, 1), else_=0
            )
            values = [value]
        else:
            number = case((value.regexp_match(_NUMBER), cast(value, Float)))
            last = case((value.is_(None), 2), (number.is_(None), 1), else_=0)
            values = [number, value]
    turned = [each.asc() if is_ascending else each.desc() for each in values]
    return found.order_by(last, *turned, run.start_time.desc(), run.run_uuid)


def values_of(
    session: Session,
    table: Any,  # noqa: ANN401 - one of the mappers
    run_ids: Sequence[str],
    names: Sequence[str] | None,
    *others: str,
) -> dict[str, dict[str, Any]]:
    """Return params, tags or metrics of runs."""
    from sqlalchemy import select

    found: dict[str, dict[str, Any]] = defaultdict(dict)
    if not run_ids or names == ():
        return found
    columns = [getattr(table, name) for name in ("value", *others)]
    selected = select(table.run_uuid, table.key, *columns)
    selected = selected.where(table.run_uuid.in_(run_ids))
    if names is not None:
        selected = selected.where(table.key.in_(names))
    for run_id, key, *values in session.execute(selected):
        found[run_id][key] = tuple(values) if others else values[0]
    return found


def values_ending(
    session: Session,
    table: Any,  # noqa: ANN401 - one of the mappers
    run_ids: Sequence[str],
    name: str,
) -> Mapping[str, dict[str, str]]:
    """Return by run and key the params of this short name."""
    from sqlalchemy import select

    found: dict[str, dict[str, str]] = defaultdict(dict)
    selected = select(table.run_uuid, table.key, table.value).where(
        table.run_uuid.in_(run_ids),
        table.key.endswith(short_end(name), autoescape=True),
    )
    for run_id, key, value in session.execute(selected):
        found[run_id][key] = value
    return found


def thinned(run_ids: Sequence[str], metrics: Sequence[str], n_points: int) -> Any:  # noqa: ANN401 - as the mappers
    """Return a selection of points of stepped metrics, at evenly spread steps.

    Each point is found by a look into the index over run, metric and step, so a
    history of a million steps costs as much as one of a hundred.
    """
    from sqlalchemy import case, func, literal, select, union_all
    from sqlalchemy.orm import aliased

    tables = mappers()
    latest = tables.SqlLatestMetric
    first, near, at = (aliased(tables.SqlMetric) for _ in range(3))
    low = select(func.min(first.step)).where(
        first.run_uuid == latest.run_uuid, first.key == latest.key
    )
    series = (
        select(
            latest.run_uuid,
            latest.key,
            latest.step.label("high"),
            low.scalar_subquery().label("low"),
        )
        .where(latest.run_uuid.in_(run_ids), latest.key.in_(metrics))
        .where(latest.step != 0)
        .subquery()
    )
    numbers = (select(literal(part).label("part")) for part in range(n_points))
    parts = union_all(*numbers).subquery()
    span = series.c.high - series.c.low
    step = select(func.min(near.step)).where(
        near.run_uuid == series.c.run_uuid,
        near.key == series.c.key,
        near.step >= series.c.low + span * parts.c.part // (n_points - 1),
    )
    steps = (
        select(series.c.run_uuid, series.c.key, step.scalar_subquery().label("step"))
        .select_from(series)
        .join(parts, span > 0)
        .distinct()
        .subquery()
    )
    value = select(case((at.is_nan, None), else_=at.value)).where(
        at.run_uuid == steps.c.run_uuid,
        at.key == steps.c.key,
        at.step == steps.c.step,
    )
    return select(*steps.c, value.limit(1).scalar_subquery())
