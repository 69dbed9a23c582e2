"""What journals still hold, brought into the store from any process."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from nbmlops.errors import NbmlopsError
from nbmlops.render.tables import Table
from nbmlops.store import Store, connect
from nbmlops.store.runs.fields import PARENT
from nbmlops.tracking.journal.reader import (
    JournalReader,
    list_journals,
    list_unreadable,
)
from nbmlops.tracking.provenance.source import relative
from nbmlops.tracking.sync.uploader import JournalUploader

_logger = logging.getLogger(__name__)
_WAIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """How sending one run's journal went."""

    run_id: str
    name: str
    state: Literal["sent", "open", "kept", "incomplete"]
    n_sent: int
    n_kept: int
    reason: str = ""
    n_damaged: int = 0


class SyncReport(Table):
    """What was sent, a row a run.

    Parameters
    ----------
    runs : sequence of Synced
        The journals that were found.
    """

    def __init__(self, runs: tuple[Synced, ...]) -> None:
        self.runs = runs
        super().__init__(
            ["run", "name", "state", "sent", "kept", "why"],
            [
                (r.run_id[:8], r.name, r.state, r.n_sent, r.n_kept, r.reason)
                for r in runs
            ],
            empty="Everything is in the store.",
        )

    @property
    def is_complete(self) -> bool:
        """Whether the store has all there was."""
        return all(run.state in ("sent", "open") for run in self.runs)


def sync(store: Store | None = None) -> SyncReport:
    """Send to the store what journals of the project still hold.

    Parameters
    ----------
    store : Store, optional
        The project's store by default.

    Returns
    -------
    SyncReport
        What was sent; what could not be is kept, with the reason.

    Raises
    ------
    StoreError
        The embedded store cannot be made.
    """
    store = store or connect(must_answer=False)
    sent = (send_journal(store, reader) for reader in journals_of(store))
    runs = [run for run in sent if run is not None]
    for folder, reason in list_unreadable(store.settings.home):
        shown = relative(folder, store.settings.project)
        runs.append(
            Synced(
                run_id=folder.name,
                name="",
                state="kept",
                n_sent=0,
                n_kept=0,
                reason=f"{shown} cannot be read: {reason}. Move or delete it.",
            )
        )
    return SyncReport(tuple(runs))


def sync_below(store: Store, run_id: str) -> None:
    """Send what journals of runs below another still hold."""
    for reader in journals_of(store):
        if reader.header().tags.get(PARENT) == run_id:
            send_journal(store, reader)


def journals_of(store: Store) -> list[JournalReader]:
    """Return the project's journals, that of the oldest run first."""
    found = list_journals(store.settings.home)
    return sorted(found, key=lambda each: (each.header().started_at_ms, each.key))


def is_for(store: Store, reader: JournalReader) -> bool:
    """Return whether a journal is meant for this store."""
    return reader.header().store == store_hash(store)


def store_hash(store: Store) -> str:
    """Return what names a store in a journal; its URI may hold a password."""
    return "own" if store.is_embedded else sha256(store.uri.encode()).hexdigest()


def send_journal(store: Store, reader: JournalReader) -> Synced | None:
    """Send what a journal holds; None when its owner has sent all of it meanwhile."""
    try:
        header, state = reader.header(), reader.state()
        uploader = JournalUploader(store, reader)
    except FileNotFoundError:
        return None
    reason = ""
    if header.store == store_hash(store):
        try:
            if not uploader.advance(_WAIT_S):
                reason = "Another process is sending it."
        except NbmlopsError as failure:
            reason = str(failure)
        except Exception as failure:
            _logger.warning("sending a journal failed", exc_info=failure)
            reason = f"{type(failure).__name__}: {failure}."
    else:
        reason = "It is meant for another store: set MLFLOW_TRACKING_URI as it was."
    n_kept = 0
    is_there = False
    with suppress(FileNotFoundError):
        state, n_kept = reader.state(), reader.count_unsent()
        is_there = True
    progress = uploader.progress
    lacking = list(progress.refused)
    if progress.n_damaged:
        lacking.append(damage(progress.n_damaged, store, reader))
    found: Literal["sent", "open", "kept", "incomplete"] = "sent"
    if is_there and reason:
        found = "kept"
    elif lacking:
        found = "incomplete"
    elif is_there:
        found = "open"
    return Synced(
        run_id=state.run_id or header.key,
        name=header.name,
        state=found,
        n_sent=progress.n_sent,
        n_kept=n_kept,
        reason=" ".join([*([reason] if is_there and reason else []), *lacking]),
        n_damaged=progress.n_damaged,
    )


def damage(n_damaged: int, store: Store, reader: JournalReader) -> str:
    """Say how many records were damaged, and where they are kept."""
    folder = reader.folder.with_name(f"{reader.key}.damaged")
    shown = relative(folder, store.settings.project)
    records = "record is" if n_damaged == 1 else "records are"
    return f"{n_damaged} damaged {records} kept in {shown}."
