"""From a journal into the store: in order, and doing it twice does it once."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nbmlops.errors import (
    NbmlopsError,
    StoreError,
)
from nbmlops.store import Store, embedded
from nbmlops.store.backend import backend
from nbmlops.store.connection import answering, probe
from nbmlops.store.experiments import by_id
from nbmlops.store.runs import listing, runs
from nbmlops.store.runs.fields import ATTEMPT, ATTEMPT_OF, KEY, KEY_FORM, PARENT
from nbmlops.tracking.journal.reader import JournalReader, SyncState, is_final
from nbmlops.tracking.journal.records import Entry, Piece, entries_of
from nbmlops.tracking.journal.segment import Segment
from nbmlops.tracking.run.attempts import RunFingerprint, numbering
from nbmlops.tracking.sync.entries import (
    EntrySender,
    UploadProgress,
    batches_of,
    point_of,
)

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

_logger = logging.getLogger(__name__)
_MOST_TRIES = 3
_T = TypeVar("_T")


def load(store: Store) -> None:
    """Load MLflow, and have it make the tables of a database, which may take long."""
    store.load()
    if not store.is_served:
        with suppress(StoreError), answering(store):
            probe(store)
            backend(store)


def as_ours(error: Exception) -> NbmlopsError:
    """Return an error as one of ours."""
    if isinstance(error, NbmlopsError):
        return error
    if not isinstance(error, OSError):
        _logger.warning("sending a journal failed", exc_info=error)
    return StoreError(
        f"The store failed: {type(error).__name__}: {error}.",
        fix="See that it runs and can be reached, then run: nbmlops sync",
    )


class JournalUploader:
    """Sends the journal of one run."""

    def __init__(
        self,
        store: Store,
        reader: JournalReader,
        *,
        memory: dict[str, Segment] | None = None,
        written: Callable[[str], int | None] | None = None,
        when_made: Callable[[MlflowRun], None] | None = None,
        on_metrics: Callable[[Sequence[runs.Point]], None] | None = None,
        progress: UploadProgress | None = None,
        on_progress: Callable[[], object] = lambda: None,
    ) -> None:
        self._store = store
        self._reader = reader
        self._memory = {} if memory is None else memory
        self._written = written
        self._header = reader.header()
        self._shown: tuple[str, int] = ("", 0)
        self._when_made = when_made
        self._on_metrics = on_metrics
        self._on_progress = on_progress
        self._damaged: set[tuple[str, int]] = set()
        self.progress = progress or UploadProgress()
        self.entries = EntrySender(store, reader, self.progress, on_progress)

    def advance(self, wait_s: float = 0.0) -> bool:
        """Send what is there, unless another process does so."""
        with self._reader.locked(wait_s) as is_mine:
            if is_mine:
                self.send()
            else:
                # Else all was sent by another.
                self.progress.is_ended = not self._reader.exists()
            return is_mine or self.progress.is_ended

    def send(self) -> SyncState:
        """Send what is there; the caller holds the journal's lock."""
        state = self._reader.state()
        if state.run_id is None:
            state = self._open(state)
        self.progress.run_id = state.run_id
        if state.is_reaped and self._has_come_back():
            runs.reopen_run(self._store, str(state.run_id))
            state.is_reaped = False
            self._reader.set_state(state)
        self._send_segments(state)
        self.entries.send_pending(str(state.run_id))
        if state.is_ended:
            if state.tries > 1:
                self._drop_twins(state)
            self._reader.remove()
            self.progress.is_ended = True
        return state

    def _has_come_back(self) -> bool:
        """Whether the process of a run lives that was ended for its silence."""
        if self._written is not None:
            return True
        owner = self._header.owner
        last_heartbeat = self._reader.last_heartbeat()
        return owner is not None and not owner.is_dead(
            last_heartbeat=last_heartbeat, now=time.time()
        )

    def _open(self, state: SyncState) -> SyncState:
        header = self._header
        experiment_id = runs.experiment_id(self._store, header.experiment)
        experiment = by_id(experiment_id)
        found: Sequence[MlflowRun] = ()
        if state.tries:  # an earlier creation may have got through
            found = runs.find_by_key(self._store, header.key, experiment=experiment)
        if found:
            run = found[0]
            # The state was damaged: what it said of the end is said by the run.
            has_ended = run.info.status != "RUNNING"
            state.is_ended = has_ended and self._written is None
            state.is_reaped = has_ended and self._written is not None
        else:
            with numbering(self._store.settings.home, header.tags[ATTEMPT_OF]):
                run = self._make(state, experiment_id)
        state.run_id = self.progress.run_id = str(run.info.run_id)
        self._reader.set_state(state)
        self.entries.location = run.info.artifact_uri
        if self._when_made is not None:
            self._when_made(run)
        return state

    def _make(self, state: SyncState, experiment_id: str) -> MlflowRun:
        header = self._header
        tags = header.tags | self._number_attempt(experiment_id) | self._parent()
        state.tries += 1
        self._reader.set_state(state)
        return runs.make_run(
            self._store,
            name=header.name,
            experiment=by_id(experiment_id),
            tags={**tags, KEY: header.key},
            started_at_ms=header.started_at_ms,
        )

    def _parent(self) -> dict[str, str]:
        """Return a tag of the parent's id, where only its key was known."""
        key = self._header.tags.get(PARENT, "")
        if not re.fullmatch(KEY_FORM, key):
            return {}
        is_to_come = (self._reader.folder.parent / key).exists()
        found = runs.find_by_key(self._store, key, experiment=self._header.experiment)
        if not found and is_to_come:  # made first, this run would stand above nothing
            raise StoreError(
                f"The run above {self._header.name!r} is not in the store yet.",
                fix="Run: nbmlops sync",
            )
        return {PARENT: str(found[0].info.run_id)} if found else {}

    def _number_attempt(self, experiment_id: str) -> dict[str, str]:
        group = self._header.tags[ATTEMPT_OF]
        newest = listing.newest_attempt(self._store, group, experiment_id=experiment_id)
        progress = self.progress
        progress.attempt = 1
        if newest is not None:
            number = newest.tags.get(ATTEMPT, "")
            progress.attempt += int(number) if re.fullmatch("[0-9]{1,9}", number) else 1
            progress.attempt_before = RunFingerprint.from_tags(
                newest.tags, newest.params
            )
            took_s = newest.tags.get("nbmlops.cost.wall_s", "")
            has_ended_well = "nbmlops.ended_because" not in newest.tags
            if has_ended_well and re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", took_s):
                progress.expected_s = float(took_s)
        return {ATTEMPT: str(progress.attempt)}

    def _drop_twins(self, state: SyncState) -> None:
        header = self._header
        for twin in runs.find_by_key(
            self._store, header.key, experiment=header.experiment
        ):
            if twin.info.run_id != state.run_id:
                runs.delete_run(self._store, twin.info.run_id)

    def _send_segments(self, state: SyncState) -> None:
        paths = self._reader.segment_paths()
        names = sorted([*(path.name for path in paths), *self._memory])
        by_name = {path.name: path for path in paths}
        is_alive = not state.is_ended and not self._reader.is_dead(time.time())
        for position, name in enumerate(names):
            if name in self._memory:
                self._send_segment(name, self._memory[name], state)
                continue
            path, later = by_name[name], [Path(n) for n in names[position + 1 :]]
            is_growing = self._reader.is_growing(path, later, is_alive=is_alive)
            try:
                segment = Segment.read(path)
            except FileNotFoundError:
                continue
            with closing(segment):
                self._send_segment(name, segment, state, is_growing=is_growing)
            if is_final(path, later):
                path.unlink()

    def _send_segment(
        self, name: str, segment: Segment, state: SyncState, *, is_growing: bool = False
    ) -> None:
        until = None if self._written is None else self._written(name)
        is_growing = is_growing and until is None
        while pieces := segment.unsent(until=until, is_growing=is_growing):
            self._send_pieces(name, segment, pieces, state)

    def _send_pieces(
        self, name: str, segment: Segment, pieces: Sequence[Piece], state: SyncState
    ) -> None:
        whole = [piece for piece in pieces if piece[2] is not None]
        read = entries_of([body for *_, body in whole if body is not None])
        pairs = zip(whole, read, strict=True)
        found = {start: entry for (start, *_), entry in pairs if entry is not None}
        for start, end, _ in pieces:
            if start not in found:
                self._quarantine(name, segment, start, end)
        found = {start: entry for start, entry in found.items() if entry[0] != "run"}
        entries = list(found.values())
        if (name, pieces[0][0]) > self._shown:
            self._shown = (name, pieces[0][0])
            if self._on_metrics is not None:
                self._on_metrics([point_of(e) for e in entries if e[0] == "m"])
        starts = list(found)
        is_sent, first = bytearray(len(entries)), 0
        to_discard: dict[int, Path] = {}
        for batch in batches_of(entries):
            sent = self._send(state, [entries[position] for position in batch])
            for position in batch:
                is_sent[position] = True
                if sent is not None:
                    to_discard[position] = sent
            while first < len(entries) and is_sent[first]:
                first += 1
            segment.mark(starts[first] if first < len(entries) else pieces[-1][1])
            for position in [each for each in to_discard if each < first]:
                self._reader.discard(to_discard.pop(position))
            self.progress.n_sent += len(batch)
            self._on_progress()
        if not entries:
            segment.mark(pieces[-1][1])

    def _quarantine(self, name: str, segment: Segment, start: int, end: int) -> None:
        content = segment.content(start, end)
        with embedded.writing(self._reader.folder.parent):
            n_damaged = self._reader.quarantine(name, start, content)
        if (name, start) not in self._damaged:
            self._damaged.add((name, start))
            self.progress.n_damaged += n_damaged

    def _send(self, state: SyncState, batch: list[Entry]) -> Path | None:
        """Send a batch; of a file return what may be discarded when that is noted."""
        run_id = str(state.run_id)
        if batch[0][0] == "end":
            _, status, ended_at_ms = batch[0]
            at_ms = max(ended_at_ms, self._header.started_at_ms)
            runs.end_run(self._store, run_id, status, ended_at_ms=at_ms)
            state.is_ended = True
            self._reader.set_state(state)
            return None
        sent = self.entries.send(run_id, batch)
        if steps := [e[4] for e in batch if e[0] == "m"]:
            known = state.last_step
            state.last_step = max(steps if known is None else [*steps, known])
            self._reader.set_state(state)
        return sent
