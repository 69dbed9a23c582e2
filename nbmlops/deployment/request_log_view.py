"""The log of an endpoint's requests, as it shows itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from nbmlops.config import Settings
from nbmlops.deployment.request_log import (
    Moment,
    feedback_folder,
    log_folder,
    parse_moment,
    read_log,
)
from nbmlops.render.formats import counted, format_number, format_time, truncate
from nbmlops.render.tables import Renderable, Table

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = ("time", "route", "version", "status", "latency_us", "prediction")
_N_SHOWN = 10
_WIDEST = 12  # so that a row has 80 characters


class RequestLogView(Renderable):
    """The requests of an endpoint over some time; read when they are looked at.

    Parameters
    ----------
    settings : Settings
        The project's.
    name : str
        The endpoint's name.
    since, until : str, datetime or timedelta, optional
        The time from which on, and before which, requests are shown: a duration before
        now, such as ``"1h"`` or ``"7d"``, or an ISO 8601 time, in UTC unless it says
        otherwise.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        since: Moment = None,
        until: Moment = None,
    ) -> None:
        self._settings = settings
        self._name = name
        self._since = parse_moment(since)
        self._until = parse_moment(until)

    def frame(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a row for each row of the requests, in the order of their time.

        Parameters
        ----------
        columns : sequence of str, optional
            Columns to read; all by default.

        Returns
        -------
        DataFrame
            ``request_id``, ``row`` from 0, ``time`` in UTC, ``version``, ``route``,
            ``status``, ``latency_us``, each column of the input as ``in.NAME``,
            ``prediction``, and ``label``, which is the last that was sent as feedback.

        Raises
        ------
        UsageError
            The log has no such column.
        """
        return read_log(
            log_folder(self._settings, self._name),
            since=self._since,
            until=self._until,
            columns=columns,
            labels=feedback_folder(self._settings, self._name),
        )

    def __repr__(self) -> str:
        return "\n".join([self._title(frame := self.frame(_SHOWN)), repr(_last(frame))])

    def _repr_html_(self) -> str:
        frame = self.frame(_SHOWN)
        title = escape(self._title(frame)).replace("\n", "<br>")
        return f"<p>{title}</p>{_last(frame)._repr_html_()}"

    def _title(self, frame: pd.DataFrame) -> str:
        title = f"request log of {self._name} · "
        if frame.empty:
            return f"{title}no rows"
        start, end = (format_time(frame.time.iloc[n].to_pydatetime()) for n in (0, -1))
        labels = int(frame.label.notna().sum())
        failed = int((frame.status >= 400).sum())
        facts = f"{counted(len(frame), 'row')} · {counted(labels, 'label')}"
        return f"{title}{facts} · {failed:,} failed\n{start} to {end}"


def _last(frame: pd.DataFrame) -> Table:
    newest = frame.tail(_N_SHOWN).iloc[::-1]
    columns = [newest[name] for name in (*_SHOWN, "label")]
    rows = [
        (
            f"{moment:%H:%M:%S.%f}"[:-3],
            route,
            version,
            status,
            f"{latency_us / 1000:.2f} ms",
            _value(prediction),
            _value(label),
        )
        for moment, route, version, status, latency_us, prediction, label in zip(
            *columns, strict=True
        )
    ]
    header = [
        "time (UTC)",
        "route",
        "version",
        "status",
        "latency",
        "prediction",
        "label",
    ]
    return Table(header, rows, empty="No request was logged in that time.")


def _value(value: object) -> str:
    if value is None or value != value:
        return ""
    return (
        format_number(value)
        if isinstance(value, float)
        else truncate(str(value), _WIDEST)
    )
