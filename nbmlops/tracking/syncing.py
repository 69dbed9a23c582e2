"""What journals still hold, brought into the store from any process."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from nbmlops.errors import NbmlopsError
from nbmlops.render import Table
from nbmlops.store import Store, connect
from nbmlops.store.runs import PARENT
from nbmlops.tracking.delivery import Delivery
from nbmlops.tracking.owner import Owner
from nbmlops.tracking.spool import Spool, list_journals

_WAIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """How sending one run's journal went.

    Attributes
    ----------
    run_id : str
        MLflow's id, or the run's key while the store has not made it.
    name : str
        The run's name.
    state : {"sent", "open", "kept"}
        ``open`` when all was sent and the run goes on, ``kept`` when not all was sent.
    n_sent, n_kept : int
        Entries that were sent now, and that are still kept.
    reason : str
        Why they are kept.
    """

    run_id: str
    name: str
    state: Literal["sent", "open", "kept"]
    n_sent: int
    n_kept: int
    reason: str = ""


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
        """Whether nothing is kept any more."""
        return all(run.state != "kept" for run in self.runs)


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
    sent = (send_journal(store, spool) for spool in journals_of(store))
    return SyncReport(tuple(run for run in sent if run is not None))


def sync_below(store: Store, run_id: str) -> None:
    """Send what journals of runs below another still hold.

    Parameters
    ----------
    store : Store
        Where to.
    run_id : str
        The run above them.
    """
    for spool in journals_of(store):
        with suppress(FileNotFoundError):
            if spool.opening().tags.get(PARENT) == run_id:
                send_journal(store, spool)


def journals_of(store: Store) -> list[Spool]:
    """Return the project's journals, that of the oldest run first."""
    found = []
    for spool in list_journals(store.settings.home):
        with suppress(FileNotFoundError):  # its owner has sent it meanwhile
            found.append((spool.opening().started_at_ms, spool.key, spool))
    return [spool for *_, spool in sorted(found, key=lambda each: each[:2])]


def is_for(store: Store, spool: Spool) -> bool:
    """Return whether a journal is meant for this store; one that is gone is not."""
    try:
        return spool.opening().store == store_hash(store)
    except FileNotFoundError:
        return False


def store_hash(store: Store) -> str:
    """Return what names a store in a journal; its URI may hold a password."""
    return sha256(store.uri.encode()).hexdigest()


def owner_of(spool: Spool) -> Owner | None:
    """Return the process that records the run of a journal."""
    opening = spool.opening()
    return Owner.parse(opening.kernel, opening.boot)


def send_journal(store: Store, spool: Spool) -> Synced | None:
    """Send what a journal holds; None when its owner has sent all of it meanwhile."""
    try:
        opening, state = spool.opening(), spool.state()
        delivery = Delivery(store, spool)
    except FileNotFoundError:
        return None
    reason = ""
    if opening.store == store_hash(store):
        try:
            deadline = time.monotonic() + _WAIT_S
            while not delivery.advance():
                if time.monotonic() > deadline:
                    reason = "Another process is sending it."
                    break
                time.sleep(0.05)
        except NbmlopsError as failure:
            reason = str(failure)
    else:
        reason = "It is meant for another store: set MLFLOW_TRACKING_URI as it was."
    n_kept = 0
    is_there = False
    with suppress(FileNotFoundError):
        state, n_kept = spool.state(), spool.count_unsent()
        is_there = True
    return Synced(
        run_id=state.run_id or opening.key,
        name=opening.name,
        state="open" if is_there and not reason else "kept" if is_there else "sent",
        n_sent=delivery.n_sent,
        n_kept=n_kept,
        reason=reason if is_there else "",
    )
