"""The values that metrics took during a run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

from nbmlops.entities import MetricHistory, mode_of
from nbmlops.store import rest
from nbmlops.store.connection import Store
from nbmlops.store.database import Connection, connected, has_tables
from nbmlops.store.runs.api_reader import read_histories
from nbmlops.store.runs.fields import as_logged, as_number

_POINTS = 100
# A database gives 300,000 values a second, a server 50,000.
_MOST_VALUES = 1_000_000
_SAMPLE = 2500  # the most a server takes for one answer
_PAGE, _MOST_PAGES = 25_000, 4
_MOST_ASKED = 200
_NUMBER = "CASE WHEN m.is_nan THEN NULL ELSE m.value END"
_LATEST = (
    f"SELECT m.key, {_NUMBER}, m.step FROM latest_metrics m "  # noqa: S608
    "WHERE m.run_uuid = :id"
)
# Along an index of MLflow's: everything is read once, in the order it is kept.
_VALUES = (
    f"SELECT m.key, m.step, {_NUMBER} FROM metrics m WHERE m.run_uuid = :id "  # noqa: S608
    "ORDER BY m.key, m.step, m.timestamp LIMIT :limit"
)

_Latest = Mapping[str, tuple[float, int]]
"""Value and step of each metric of a run."""


def list_histories(
    store: Store, run_ids: Sequence[str]
) -> tuple[Mapping[str, MetricHistory], ...]:
    """Return the history of every metric of some runs."""
    if has_tables(store):
        with connected(store) as connection:
            return tuple(_from_database(connection, each) for each in run_ids)
    return _from_server(store, run_ids)


def _from_database(connection: Connection, run_id: str) -> Mapping[str, MetricHistory]:
    latest = {
        key: (as_number(value), step)
        for key, value, step in connection.query(_LATEST, id=run_id)
    }
    found = {key: _fold(key, last, (), is_whole=False) for key, last in latest.items()}
    rows = connection.stream(_VALUES, id=run_id, limit=_MOST_VALUES + 1)
    readable = itertools.islice(rows, _MOST_VALUES)
    for key, group in itertools.groupby(readable, key=itemgetter(0)):
        if key in latest:  # else it was logged since
            values = ((step, as_number(value)) for _, step, value in group)
            found[key] = _fold(key, latest[key], values)
    cut = next(rows, None)
    if cut is not None and cut[0] in found:
        found[cut[0]] = replace(found[cut[0]], is_whole=False)
    return found


def _from_server(
    store: Store, run_ids: Sequence[str]
) -> tuple[Mapping[str, MetricHistory], ...]:
    latest: list[_Latest] = [
        {
            item["key"]: (as_logged(float(item["value"])), int(item.get("step", 0)))
            for item in run["data"].get("metrics", ())
        }
        for run in (rest.get_run(store, each) for each in run_ids)
    ]

    def is_alike(key: str) -> bool:
        return len({repr(each.get(key)) for each in latest}) == 1

    keys = sorted({key for each in latest for key in each})
    asked = set(sorted(keys, key=is_alike)[:_MOST_ASKED])
    found: tuple[dict[str, MetricHistory], ...] = tuple({} for _ in run_ids)
    for key in keys:
        samples: dict[str, list[dict[str, Any]]] = {}
        if key in asked:
            for item in read_histories(store, run_ids, key, _SAMPLE):
                samples.setdefault(item["run_id"], []).append(item)
        for run_id, last, mine in zip(run_ids, latest, found, strict=True):
            if key in last:
                values = samples.get(run_id, [])
                is_whole = 0 < len(values) < _SAMPLE
                if len(values) >= _SAMPLE and (all_of_it := _pages(store, run_id, key)):
                    values, is_whole = all_of_it, True
                points = (
                    (int(item.get("step", 0)), as_logged(float(item["value"])))
                    for item in values
                )
                mine[key] = _fold(key, last[key], points, is_whole=is_whole)
    return found


def _pages(store: Store, run_id: str, key: str) -> list[dict[str, Any]]:
    """Return all values of a metric in the order of steps; none when too many."""
    asked = {"run_id": run_id, "metric_key": key, "max_results": _PAGE}
    pages = rest.pages(store, "GET", "metrics/get-history", **asked)
    read = list(itertools.islice(pages, _MOST_PAGES))
    if read[-1].get("next_page_token"):
        return []
    found = [each for page in read for each in page.get("metrics", ())]
    return sorted(found, key=lambda m: (int(m.get("step", 0)), m["timestamp"]))


def _fold(
    key: str,
    latest: tuple[float, int],
    values: Iterable[tuple[int, float]],
    *,
    is_whole: bool = True,
) -> MetricHistory:
    """Return a history, its values read once and an even choice of them kept."""
    mode = mode_of(key)
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
        last=latest[0],
        last_step=latest[1],
        best=best[1][1] if best else None,
        best_step=best[1][0] if best else None,
        points=tuple(chosen[index] for index in sorted(chosen)),
        is_whole=is_whole,
    )
