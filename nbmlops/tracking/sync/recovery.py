"""Runs whose process is gone are ended for it, with what is known of the end."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbmlops.config import Settings
from nbmlops.errors import NbmlopsError
from nbmlops.processes.process_id import ProcessId
from nbmlops.store import Store
from nbmlops.store.runs import queries, runs
from nbmlops.store.runs.fields import ENDED_BECAUSE, KEY
from nbmlops.tracking.journal.reader import JournalReader, list_journals
from nbmlops.tracking.journal.writer import append_to
from nbmlops.tracking.sync.sync import is_for, journals_of
from nbmlops.tracking.sync.uploader import JournalUploader

if TYPE_CHECKING:
    from nbmlops.entities import Run

_logger = logging.getLogger(__name__)
_WAIT_S = 5.0
_KEPT_S = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped:
    """A run that was found without its process."""

    run_id: str
    name: str
    reason: str
    is_ended: bool


def find_dead(
    settings: Settings, *, now: float | None = None
) -> tuple[JournalReader, ...]:
    """Return the journals whose process is gone; no store is asked."""
    now = time.time() if now is None else now
    found = []
    for reader in list_journals(settings.home):
        with suppress(FileNotFoundError):  # its end was sent meanwhile
            is_known = reader.state().is_reaped and not is_gone(reader, now)
            if reader.is_dead(now) and not is_known:
                found.append(reader)
    return tuple(found)


def is_gone(reader: JournalReader, now: float) -> bool:
    """Return whether the process of a dead run cannot come back.

    One of another machine that was silent may have been stopped: its journal stays
    for a week.
    """
    owner = reader.header().owner
    is_here = owner is not None and owner.is_here
    return is_here or now - reader.last_heartbeat() > _KEPT_S


def reap(store: Store, *, now: float | None = None) -> tuple[Reaped, ...]:
    """End as KILLED every run whose process is gone; doing it twice changes nothing.

    What their journals hold is sent first. A run of a living process, stopped or slow,
    is left alone, and so is one of another machine that cannot be judged from here.
    """
    now = time.time() if now is None else now
    dead = {reader.key for reader in find_dead(store.settings, now=now)}
    mine = [s for s in journals_of(store) if s.key in dead and is_for(store, s)]
    ended = (_end_journal(store, reader, now) for reader in mine)
    found = [each for each in ended if each is not None]
    with_journal = {reader.key for reader in list_journals(store.settings.home)}
    for run in queries.list_running(store):
        kernel, boot = run.tags.get("nbmlops.kernel"), run.tags.get("nbmlops.boot", "")
        owner = ProcessId.parse(kernel, boot) if kernel else None
        if owner is None or run.tags.get(KEY) in with_journal:
            continue
        if owner.is_dead(last_heartbeat=None, now=now):
            found.append(_end_run(store, run, owner))
    return tuple(found)


def _end_journal(store: Store, reader: JournalReader, now: float) -> Reaped | None:
    try:
        with reader.locked(_WAIT_S) as is_mine:  # else that of a dead script sends it
            return _end_locked(store, reader, now) if is_mine else None
    except OSError as error:  # others are to be ended still
        _logger.warning("ending a run failed", exc_info=error)
        return None


def _end_locked(store: Store, reader: JournalReader, now: float) -> Reaped:
    header, state = reader.header(), reader.state()
    entries = list(reader.unsent())
    ending, reason = None, ""
    has_end = state.is_ended or any(entry[0] == "end" for entry in entries)
    if not has_end and header.owner is not None:
        metrics = [entry for entry in entries if entry[0] == "m"]
        steps = [entry[4] for entry in metrics]
        known = state.last_step
        last = max([*steps, *([] if known is None else [known])], default=None)
        reason = _reason(header.owner, last)
        heard_ms = int(reader.last_heartbeat() * 1000)
        times_ms = [header.started_at_ms, *(entry[1] for entry in metrics)]
        ending = max(heard_ms, *times_ms)
    may_come_back = ending is not None and not is_gone(reader, now)
    uploader = JournalUploader(store, reader)
    is_ended = False
    try:
        if ending is not None and not may_come_back:
            append_to(
                reader,
                ("t", ENDED_BECAUSE, reason),
                ("end", "KILLED", ending),
            )
        state = uploader.send()
        is_ended = uploader.progress.is_ended
        if may_come_back:
            run_id = str(state.run_id)
            runs.end_run(
                store,
                run_id,
                "KILLED",
                tags={ENDED_BECAUSE: reason},
                ended_at_ms=ending,
            )
            state.is_reaped = is_ended = True
            reader.set_state(state)
    except NbmlopsError as failure:
        reason = f"{reason} {failure}".strip()
    except Exception as failure:
        _logger.warning("ending a run failed", exc_info=failure)
        reason = f"{reason} {type(failure).__name__}: {failure}.".strip()
    return Reaped(
        run_id=state.run_id or header.key,
        name=header.name,
        reason=reason,
        is_ended=is_ended,
    )


def _end_run(store: Store, run: Run, owner: ProcessId) -> Reaped:
    reason = _reason(owner, None)
    runs.end_run(store, run.run_id, "KILLED", tags={ENDED_BECAUSE: reason})
    return Reaped(run_id=run.run_id, name=run.name, reason=reason, is_ended=True)


def _reason(owner: ProcessId, last_step: int | None) -> str:
    step = "" if last_step is None else f"; its last step was {last_step}"
    return f"process {owner.pid} on {owner.host} ended without a word{step}."
