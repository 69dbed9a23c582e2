"""Who changed what, and which version an alias named when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbmlops.entities import AliasHistory, AliasPeriod, AuditEvent, AuditReport
from nbmlops.render.formats import format_time
from nbmlops.render.tables import Renderable, Table

if TYPE_CHECKING:
    import pandas as pd

_ELSEWHERE = "another client"
_FIELDS = ("version", "since", "until", "who", "why", "is_noticed")


class HistoryView(Table):
    """Which versions an alias named, a row each."""

    def __init__(
        self, history: AliasHistory, *, empty: str = "", notes: Sequence[str] = ()
    ) -> None:
        self.history = history
        rows = [
            (
                "none" if each.version is None else each.version,
                f"{'noticed ' * each.is_noticed}{format_time(each.since)}",
                format_time(each.until) if each.until else "now",
                each.who or _ELSEWHERE,
                each.why,
            )
            for each in history.periods
        ]
        header = [f"{history.alias} of {history.model}", "since", "until", "by", "why"]
        super().__init__(header, rows, empty=empty, notes=notes)

    @property
    def version(self) -> int | None:
        """The version that the alias names now, or named at the time asked for."""
        return self.history.version

    @property
    def periods(self) -> tuple[AliasPeriod, ...]:
        """The rows, in order of time."""
        return self.history.periods

    def frame(self) -> pd.DataFrame:
        """Return a row for each version that the alias named, times in UTC."""
        import pandas as pd

        rows = [[getattr(each, name) for name in _FIELDS] for each in self.periods]
        frame = pd.DataFrame(rows, columns=list(_FIELDS))
        for name in ("since", "until"):
            frame[name] = pd.to_datetime(frame[name], utc=True)
        return frame.astype({"version": "Int64"})


def events_table(events: Sequence[AuditEvent], *, has_more: bool = False) -> Table:
    """Return changes as a table."""
    rows = [
        (
            format_time(each.at),
            each.who or _ELSEWHERE,
            f"{each.what} {each.alias or each.endpoint or ''}".strip(),
            each.model if each.version is None else f"{each.model}/{each.version}",
            "" if each.before is None else f"{each.model}/{each.before}",
            each.why,
        )
        for each in events
    ]
    notes = ["there are older ones; see more with -n"] if has_more else []
    return Table(
        ["when", "who", "what", "version", "before", "why"],
        rows,
        empty="Nothing was changed yet.",
        notes=notes,
    )


class AuditCheck(Renderable):
    """What a check of the audit log found, a line each."""

    def __init__(self, report: AuditReport) -> None:
        self._report = report

    def __repr__(self) -> str:
        found = self._report
        lines = [f"line {fault.line} {fault.problem}" for fault in found.faults]
        if not lines:
            lines = [f"{found.n_lines} lines, each as it was written"]
        if found.head:
            lines.append(f"newest hash: {found.head}")
        return "\n".join(lines)
