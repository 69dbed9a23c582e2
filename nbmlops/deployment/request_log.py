"""The requests that an endpoint has answered, and their labels, as frames."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nbmlops.config import Settings
from nbmlops.deployment import records
from nbmlops.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Moment = str | datetime | timedelta | None
"""A time: ``"1h"`` ago, an ISO 8601 text in UTC unless it has an offset, or None."""
_log = logging.getLogger(__name__)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_KEYS = ("request_id", "row")
_OF_ANSWER = ("status", "route")


def log_folder(settings: Settings, name: str) -> Path:
    """Return the folder of an endpoint's logged requests."""
    return records.root(settings) / name / "requests"


def feedback_folder(settings: Settings, name: str) -> Path:
    """Return the folder of the labels that an endpoint was sent."""
    return records.root(settings) / name / "feedback"


def parse_moment(moment: Moment, *, now: datetime | None = None) -> datetime | None:
    """Return the time, in UTC, that a text or a duration before now means.

    >>> noon = datetime(2026, 11, 30, 12, tzinfo=UTC)
    >>> [str(parse_moment(text, now=noon)) for text in ("90m", "2026-11-29")]
    ['2026-11-30 10:30:00+00:00', '2026-11-29 00:00:00+00:00']
    """
    now = now or datetime.now(UTC)
    found = moment
    if isinstance(found, str):
        with suppress(ValueError):
            found = datetime.fromisoformat(found)
    if isinstance(found, str) and (ago := _AGO.fullmatch(found.strip())):
        with suppress(OverflowError):
            found = timedelta(**{_UNITS[ago[2]]: float(ago[1])})
    if isinstance(found, timedelta):
        with suppress(OverflowError):
            found = now - found
    if isinstance(found, str | timedelta):
        raise UsageError(
            f"{str(moment)!r} is not a time.",
            fix="Give a duration such as 30m, 24h or 7d, or a time such as "
            "2026-11-30T12:00.",
        )
    if found is not None and found.tzinfo is None:
        return found.replace(tzinfo=UTC)
    return found


def read_log(
    folder: Path,
    *,
    since: Moment = None,
    until: Moment = None,
    columns: Sequence[str] | None = None,
    labels: Path | None = None,
    is_answered: bool = False,
    newest: int | None = None,
) -> pd.DataFrame:
    """Return the rows from ``since`` to before ``until``, in the order of their time.

    It may be written meanwhile. With the folder of ``labels`` there is a column
    ``label``; of several labels of a row the last one counts. ``is_answered`` leaves
    out what was refused or failed, and shadows; ``newest`` all but so many rows.
    """
    from nbmlops.serving.request_log.tables import REQUEST_SCHEMA

    asked = None if columns is None else [c for c in columns if c != "label"]
    wanted = _Wanted(
        since=parse_moment(since),
        until=parse_moment(until),
        columns=None if asked is None else frozenset((*asked, "time", *_KEYS)),
        is_answered=is_answered,
        newest=newest,
    )
    table = _read(folder, REQUEST_SCHEMA, wanted)
    order = [(name, "ascending") for name in ("time", *_KEYS)]
    frame: pd.DataFrame = table.sort_by(order).to_pandas()
    if newest is not None:
        frame = frame.tail(newest).reset_index(drop=True)
    if labels is not None:
        frame = frame.merge(_last_labels(labels), how="left", on=list(_KEYS))
    if asked is None:
        return frame
    if missing := [name for name in asked if name not in frame]:
        raise UsageError(
            f"The log has no column {missing[0]!r}.",
            fix="See .frame().columns for those it has.",
        )
    return frame[[*asked, *(["label"] if labels is not None else [])]]


def find_answered(folder: Path, request_id: str) -> pd.DataFrame | None:
    """Return the rows of a request as it was answered; None if it is not there."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    refused = None
    for path in _Wanted().parts(folder):
        try:
            with pq.ParquetFile(path) as part:
                ids = part.read(columns=["request_id"])["request_id"]
                if not pc.any(pc.equal(ids, request_id)).as_py():
                    continue
                rows = part.read()
        except (OSError, pa.ArrowException):  # removed, or damaged
            continue
        its = (pc.field("request_id") == request_id) & (pc.field("route") != "shadow")
        found: pd.DataFrame = rows.filter(its).sort_by("row").to_pandas()
        if len(found) and (found.status < 400).all():
            return found
        refused = found if len(found) else refused
    return refused


def _last_labels(folder: Path) -> pd.DataFrame:
    from nbmlops.serving.request_log.tables import FEEDBACK_SCHEMA

    # One may come long after its request; so all are read.
    table = _read(folder, FEEDBACK_SCHEMA, _Wanted())
    frame: pd.DataFrame = table.sort_by("time").to_pandas()
    return frame.drop_duplicates(list(_KEYS), keep="last").drop(columns="time")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    since: datetime | None = None
    until: datetime | None = None
    columns: frozenset[str] | None = None
    is_answered: bool = False
    newest: int | None = None

    def names(self, known: Sequence[str]) -> list[str]:
        """Return the columns to read of those there are."""
        also = _OF_ANSWER if self.is_answered else ()
        return [
            n for n in known if self.columns is None or n in self.columns or n in also
        ]

    def parts(self, folder: Path) -> list[Path]:
        """Return the files to read, those written last first."""
        from nbmlops.serving.request_log.parts import list_days, list_parts

        first = self.since.date().isoformat() if self.since else ""
        last = self.until.date().isoformat() if self.until else "~"
        days = [day for day in list_days(folder) if first <= day.name <= last]
        parts = [path for day in days for path in list_parts(day)]
        return sorted(parts, key=_modified_at, reverse=True)

    def rows(self, table: pa.Table) -> pa.Table:
        """Return the rows of a file to keep."""
        import pyarrow.compute as pc

        if self.since is not None:
            table = table.filter(pc.field("time") >= self.since)
        if self.until is not None:
            table = table.filter(pc.field("time") < self.until)
        if self.is_answered:
            is_champion = pc.field("route") != "shadow"
            table = table.filter((pc.field("status") < 400) & is_champion)
        return table

    def are_enough(self, tables: Sequence[pa.Table], path: Path) -> bool:
        """Return whether no row of a file is among the newest."""
        if self.newest is None or sum(map(len, tables)) < self.newest:
            return False
        times = np.concatenate([table["time"].to_numpy() for table in tables])
        oldest = np.partition(times, len(times) - self.newest)[-self.newest]
        return (
            _modified_at(path) < int(oldest.astype("datetime64[us]").astype(int)) / 1e6
        )


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read(folder: Path, schema: pa.Schema, wanted: _Wanted) -> pa.Table:
    """Return the rows of a folder's parts; the columns of ``schema`` are there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = [schema.empty_table().select(wanted.names(schema.names))]
    for path in wanted.parts(folder):
        if wanted.are_enough(found, path):
            break
        try:
            with pq.ParquetFile(path) as part:
                rows = part.read(columns=wanted.names(part.schema_arrow.names))
        except FileNotFoundError:  # the oldest, removed since it was listed
            continue
        except (OSError, pa.ArrowException) as error:
            _log.warning("%s cannot be read: %s", path, error)
            continue
        found.append(wanted.rows(rows))
    return _concatenate(found)


def _concatenate(tables: Sequence[pa.Table]) -> pa.Table:
    """Return tables as one; a column of numbers and of texts is one of texts."""
    import pyarrow as pa

    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        types: dict[str, set[pa.DataType]] = {}
        for each in (field for table in tables for field in table.schema):
            types.setdefault(each.name, set()).add(each.type)
        mixed = {name for name, found in types.items() if _are_mixed(found)}
        plain = [table.cast(_with_texts(table.schema, mixed)) for table in tables]
        return pa.concat_tables(plain, promote_options="permissive")


def _are_mixed(types: set[pa.DataType]) -> bool:
    import pyarrow as pa

    known = types - {pa.null()}
    return len(known) > 1 and not all(
        pa.types.is_floating(t) or pa.types.is_integer(t) for t in known
    )


def _with_texts(schema: pa.Schema, names: set[str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [f.with_type(pa.string()) if f.name in names else f for f in schema]
    )
