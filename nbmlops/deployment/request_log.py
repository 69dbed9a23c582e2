"""The requests that an endpoint has answered, and their labels, as frames."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

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
) -> pd.DataFrame:
    """Return the rows from ``since`` to before ``until``, in the order of their time.

    It may be written meanwhile. With the folder of ``labels`` there is a column
    ``label``; of several labels of a row the last one counts.
    """
    from nbmlops.serving.log_tables import REQUEST_SCHEMA

    asked = None if columns is None else [c for c in columns if c != "label"]
    wanted = None if asked is None else [*dict.fromkeys((*asked, "time", *_KEYS))]
    period = parse_moment(since), parse_moment(until)
    table = _read(folder, REQUEST_SCHEMA, *period, columns=wanted)
    order = [(name, "ascending") for name in ("time", *_KEYS)]
    frame: pd.DataFrame = table.sort_by(order).to_pandas()
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


def _last_labels(folder: Path) -> pd.DataFrame:
    from nbmlops.serving.log_tables import FEEDBACK_SCHEMA

    # One may come long after its request; so all are read.
    table = _read(folder, FEEDBACK_SCHEMA, None, None)
    frame: pd.DataFrame = table.sort_by("time").to_pandas()
    return frame.drop_duplicates(list(_KEYS), keep="last").drop(columns="time")


def _read(
    folder: Path,
    schema: pa.Schema,
    since: datetime | None,
    until: datetime | None,
    *,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Return the rows of a folder's parts; the columns of ``schema`` are there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from nbmlops.serving.log_parts import list_days, list_parts

    first = since.date().isoformat() if since else ""
    last = until.date().isoformat() if until else "~"
    names = [n for n in schema.names if columns is None or n in columns]
    found = [schema.empty_table().select(names)]
    for day in list_days(folder):
        for path in list_parts(day) if first <= day.name <= last else ():
            try:
                with pq.ParquetFile(path) as part:
                    known = part.schema_arrow.names
                    asked = [n for n in known if columns is None or n in columns]
                    rows = part.read(columns=asked)
            except FileNotFoundError:  # the oldest, removed since it was listed
                continue
            except (OSError, pa.ArrowException) as error:
                _log.warning("%s cannot be read: %s", path, error)
                continue
            found.append(_between(rows, since, until))
    return _concatenate(found)


def _between(
    rows: pa.Table, since: datetime | None, until: datetime | None
) -> pa.Table:
    import pyarrow.compute as pc

    if since is not None:
        rows = rows.filter(pc.greater_equal(rows["time"], since))
    if until is not None:
        rows = rows.filter(pc.less(rows["time"], until))
    return rows


def _concatenate(tables: Sequence[pa.Table]) -> pa.Table:
    """Return tables as one; a column of numbers and of texts is one of texts."""
    import pyarrow as pa

    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        types: dict[str, set[pa.DataType]] = {}
        for each in (field for table in tables for field in table.schema):
            types.setdefault(each.name, set()).add(each.type)
        mixed = {
            name
            for name, found in types.items()
            if len(found - {pa.null()}) > 1
            and not all(
                pa.types.is_floating(t) or pa.types.is_integer(t) for t in found
            )
        }
        plain = [
            table.cast(
                pa.schema(
                    [
                        f.with_type(pa.string()) if f.name in mixed else f
                        for f in table.schema
                    ]
                )
            )
            for table in tables
        ]
        return pa.concat_tables(plain, promote_options="permissive")
