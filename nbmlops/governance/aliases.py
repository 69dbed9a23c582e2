"""Moves of aliases: made one at a time and recorded, those of others noticed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from nbmlops.entities import AuditAction, AuditEvent, ModelVersion
from nbmlops.errors import ConflictError
from nbmlops.governance.audit_log import AuditLog
from nbmlops.render.formats import format_time
from nbmlops.store import Store
from nbmlops.store.registry.aliases import compare_and_set, find_aliases


def move(
    store: Store,
    version: ModelVersion,
    alias: str,
    *,
    expected: int | None,
    why: str = "",
    what: AuditAction = "alias moved",
) -> ModelVersion:
    """Move an alias if it names the expected version, and return the version with it.

    Raises ConflictError where it names another one by now.
    """
    model, number = version.model, version.version
    log = AuditLog(store.settings, store)
    with log.locked():
        now = _notice(store, log, model).get(alias)
        if now != number:
            if now != expected or not compare_and_set(
                store, model, alias, number, expected=expected
            ):
                now = _notice(store, log, model).get(alias)
                raise _has_moved(log.read(model), model, alias, now)
            log.append(
                what,
                model,
                version=number,
                alias=alias,
                before=expected,
                after=number,
                why=why,
            )
    return replace(version, aliases=tuple(sorted({*version.aliases, alias})))


def notice(store: Store, model: str, aliases: Mapping[str, int]) -> None:
    """Record the moves that other clients made, given the aliases as they are."""
    log = AuditLog(store.settings, store)
    if _recorded(log.read(model)) != aliases:
        with log.locked():
            _notice(store, log, model)


def _notice(store: Store, log: AuditLog, model: str) -> dict[str, int]:
    """Record the moves of others, inside the lock, and return the aliases."""
    aliases = find_aliases(store, model)
    recorded = _recorded(log.read(model))
    for alias in sorted(aliases.keys() | recorded.keys()):
        before, after = recorded.get(alias), aliases.get(alias)
        if before != after:
            log.append(
                "alias noticed",
                model,
                version=after,
                alias=alias,
                before=before,
                after=after,
                who="",
            )
    return aliases


def _recorded(events: list[AuditEvent]) -> dict[str, int]:
    """Return the aliases as the log has them."""
    last = {event.alias: event.after for event in events if event.alias is not None}
    return {alias: version for alias, version in last.items() if version is not None}


def _has_moved(
    events: list[AuditEvent], model: str, alias: str, version: int | None
) -> ConflictError:
    last = [event for event in events if event.alias == alias][-1:]
    by = "".join(f" ({_by(event)})" for event in last if event.after == version)
    named = f"is now {version}" if version else "is not set now"
    return ConflictError(
        f"{alias} of {model!r} {named}{by}.",
        fix="Compare the two versions. To move it all the same, give the version that "
        "it names now as expected=.",
    )


def _by(event: AuditEvent) -> str:
    who = f"by {event.who}" if event.who else "noticed"
    is_today = event.at.astimezone().date() == datetime.now().astimezone().date()
    time = format_time(event.at)[11:16] if is_today else format_time(event.at)
    return f"{who}, {time}"
