"""Moves of aliases: made one at a time and recorded, those of others noticed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from nbmlops.entities import AuditAction, AuditEvent, ModelVersion
from nbmlops.errors import ConflictError
from nbmlops.governance.audit_log import AuditLog, change
from nbmlops.render.formats import format_time
from nbmlops.store import Store
from nbmlops.store.registry.aliases import (
    compare_and_set,
    find_aliases,
    find_all_aliases,
)


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
    log = AuditLog(store.settings)
    with log.locked():
        now = _notice(store, log, model).get(alias)
        if now != number:
            if now != expected or not compare_and_set(
                store, model, alias, number, expected=expected
            ):
                now = _notice(store, log, model).get(alias)
                raise _has_moved(log.read(model), model, alias, now)
            moved = change(
                what,
                model,
                version=number,
                alias=alias,
                before=expected,
                after=number,
                why=why,
            )
            log.append(moved)
    return replace(version, aliases=tuple(sorted({*version.aliases, alias})))


def notice(store: Store, model: str, aliases: Mapping[str, int]) -> None:
    """Record the moves that other clients made, given the aliases of a model."""
    log = AuditLog(store.settings)
    if _differences(log.read(model), {model: aliases}):
        with log.locked():
            _notice(store, log, model)


def notice_all(store: Store) -> None:
    """Record the moves that other clients made of the aliases of any model."""
    log = AuditLog(store.settings)
    if _differences(log.read(), find_all_aliases(store)):
        with log.locked():
            log.append(*_differences(log.read(), find_all_aliases(store)))


def _notice(store: Store, log: AuditLog, model: str) -> Mapping[str, int]:
    """Record the moves of others, inside the lock, and return the aliases."""
    aliases = find_aliases(store, model)
    log.append(*_differences(log.read(model), {model: aliases}))
    return aliases


def _differences(
    events: Iterable[AuditEvent], aliases: Mapping[str, Mapping[str, int]]
) -> list[AuditEvent]:
    """Return what became of the aliases since the events, also of models gone."""
    recorded: dict[str, dict[str, int | None]] = {}
    for event in events:
        if event.alias is not None:
            recorded.setdefault(event.model, {})[event.alias] = event.after
    models = aliases.keys() | recorded.keys()
    return [
        change(
            "alias noticed",
            model,
            version=after,
            alias=alias,
            before=before,
            after=after,
            who="",
        )
        for model in sorted(models)
        for alias in sorted({*aliases.get(model, ()), *recorded.get(model, ())})
        if (before := recorded.get(model, {}).get(alias))
        != (after := aliases.get(model, {}).get(alias))
    ]


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
