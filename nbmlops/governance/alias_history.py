"""Which versions an alias named, read from the events of the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from nbmlops.entities import AliasHistory, AliasPeriod, AuditEvent


def alias_history(
    events: Sequence[AuditEvent], model: str, alias: str, at: datetime | None = None
) -> AliasHistory:
    """Return the periods of an alias, or the one that a moment is in."""
    moves = [event for event in events if event.alias == alias]
    periods = [
        AliasPeriod(
            version=event.after,
            since=event.at,
            until=following.at if following else None,
            who=event.who,
            why=event.why,
            is_noticed=event.what == "alias noticed",
        )
        for event, following in pairwise([*moves, None])
        if event
    ]
    if at is not None:
        periods = [
            each
            for each in periods
            if each.since <= at and (each.until is None or at < each.until)
        ]
    return AliasHistory(
        model=model,
        alias=alias,
        version=periods[-1].version if periods else None,
        periods=tuple(periods),
    )


def earlier_versions(events: Sequence[AuditEvent], alias: str) -> list[int]:
    """Return the versions that an alias can go back to, the last one first.

    What it was rolled back from is not among them.
    """
    named: list[int] = []
    for event in events:
        if event.alias != alias or event.after is None:
            continue
        if event.what == "rolled back" and event.after in named:
            while named[-1] != event.after:
                named.pop()
        else:
            named.append(event.after)
    return named[::-1]
