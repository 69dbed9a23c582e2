"""Which version an alias named, at any time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nbmlops.config import load_settings
from nbmlops.errors import NotFoundError, StoreError, did_you_mean
from nbmlops.governance.alias_history import alias_history
from nbmlops.governance.aliases import notice
from nbmlops.governance.audit_log import AuditLog
from nbmlops.render.audit import HistoryView
from nbmlops.render.formats import format_time
from nbmlops.store import Store, connect
from nbmlops.store.registry.registered_models import get_model

if TYPE_CHECKING:
    from nbmlops.deployment.request_log import Moment


def history(
    model: str,
    alias: str = "champion",
    *,
    at: Moment = None,
    store: Store | None = None,
) -> HistoryView:
    """Return which versions an alias named, from when to when, by whom and why.

    Moves of other clients are noticed when nbmlops reads the aliases next; that time is
    theirs.

    Parameters
    ----------
    model : str
        Name of the registered model; it may be deleted by now.
    alias : str, default="champion"
        The alias; it may be removed by now.
    at : str, datetime or timedelta, optional
        Only what it named at that time: a duration before now, such as ``"1h"`` or
        ``"7d"``, or an ISO 8601 time, in UTC unless it says otherwise.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    HistoryView
        It shows itself; ``.version`` is the version now, or at that time, ``.periods``
        are the rows, and ``.frame()`` is a DataFrame of them.

    Raises
    ------
    NotFoundError
        No such model, or no such alias is known.
    StoreError
        The store does not answer, and nothing is known of the model without it.
    UsageError
        The time cannot be read.
    """
    moment = None
    if at is not None:  # it loads numpy
        from nbmlops.deployment.request_log import parse_moment

        moment = parse_moment(at)
    log = AuditLog(store.settings if store else load_settings())
    notes = _notice(store, log, model)
    events = log.read(model)
    found = alias_history(events, model, alias)
    if not found.periods:
        known = sorted({event.alias for event in events if event.alias is not None})
        raise NotFoundError(
            f"No alias {alias!r} of {model!r} is known.{did_you_mean(alias, known)}",
            fix=f"It has {', '.join(known)}."
            if known
            else f"Set it with: %promote {model} VERSION.",
        )
    begin = format_time(found.periods[0].since)
    empty = f"{alias} of {model!r} is not known before {begin}."
    if moment is not None:
        found = alias_history(events, model, alias, at=moment)
    return HistoryView(found, empty=empty, notes=notes)


def _notice(store: Store | None, log: AuditLog, model: str) -> tuple[str, ...]:
    """Record the moves of others; return a note where the store does not answer."""
    aliases: Mapping[str, int] = {}
    try:
        store = store or connect()
        aliases = get_model(store, model).aliases
    except NotFoundError:
        if store is None or not log.read(model):
            raise
    except StoreError as error:
        if not log.read(model):
            raise
        return (f"{error.problem} Moves of other clients may be missing.",)
    notice(store, model, aliases)
    return ()
