"""The entries of a journal on their way into the store: values, files and models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from nbmlops.errors import (
    ConflictError,
    NbmlopsError,
    NotFoundError,
    StoreError,
    UsageError,
)
from nbmlops.store import Store, artifacts, datasets, embedded
from nbmlops.store.backend import backend
from nbmlops.store.connection import answering
from nbmlops.store.runs import runs
from nbmlops.store.runs.fields import KEY
from nbmlops.tracking.journal.reader import JournalReader
from nbmlops.tracking.journal.records import Entry, what_of
from nbmlops.tracking.run.attempts import RunFingerprint
from nbmlops.tracking.run.values import check_artifact_path

_MOST_TRIES = 3
_LARGE_BYTES = 1_000_000
_BATCH = 1000
_KINDS = {"m": _BATCH, "p": 100, "t": 100}
"""Metrics, params and tags, and how many of each MLflow takes at once."""
_T = TypeVar("_T")


@dataclass(slots=True, kw_only=True)
class UploadProgress:
    """What is known of a run in the store, and how much of its journal is there."""

    run_id: str | None = None
    attempt: int | None = None
    attempt_before: RunFingerprint | None = None
    expected_s: float | None = None
    n_sent: int = 0
    n_damaged: int = 0
    refused: list[str] = field(default_factory=list)
    """What the store will never have, in words."""
    models: dict[str, str] = field(default_factory=dict)
    """MLflow's ids of the models that were sent, by their keys."""
    is_ended: bool = False
    is_busy: bool = False
    """Whether MLflow is being loaded, or a large file sent."""


def batches_of(entries: Sequence[Entry]) -> Iterator[list[int]]:
    """Yield batches of entries in the order of sending.

    A batch costs the same whatever it holds. So metrics, params and tags go together,
    before the files among them; and tags do not wait for the models before them.

    >>> entries = [["p", "C", "1"], ["file", "a"], ["m", 0, "auc", 0.9, 0], ["end"]]
    >>> list(batches_of(entries))
    [[0, 2], [1], [3]]
    """
    ordered: list[tuple[int, int, int]] = []
    n_models = 0
    for position, (kind, *_) in enumerate(entries):
        if kind in _KINDS:
            ordered.append((0 if kind == "t" else n_models, 0, position))
        elif kind == "file":
            ordered.append((n_models, 1, position))
        else:
            ordered.append((n_models, 2, position))
            n_models += 1
    batch: list[int] = []
    counts: Counter[str] = Counter()
    for _, is_alone, position in sorted(ordered):
        kind = entries[position][0]
        is_full = len(batch) == _BATCH or counts[kind] == _KINDS.get(kind)
        if batch and (is_alone or is_full):
            yield batch
            batch, counts = [], Counter()
        if is_alone:
            yield [position]
        else:
            counts[kind] += 1
            batch.append(position)
    if batch:
        yield batch


class EntrySender:
    """Sends entries of one run, and sets aside what the store will never take."""

    def __init__(
        self,
        store: Store,
        reader: JournalReader,
        progress: UploadProgress,
        on_progress: Callable[[], object],
    ) -> None:
        self._store = store
        self._reader = reader
        self._progress = progress
        self._on_progress = on_progress
        self._tries: Counter[str] = Counter()
        self.location: str | None = None

    def send(self, run_id: str, batch: list[Entry]) -> Path | None:
        """Send a batch; of a file return what may be discarded when that is noted."""
        kind, *content = batch[0]
        if kind in _KINDS:
            self._send_values(run_id, batch)
            return None
        if kind == "data":
            send = partial(datasets.send_dataset, self._store, run_id, content[0])
            self._try(run_id, batch[0], send)
            return None
        return self._try(run_id, batch[0], partial(self._send_file, run_id, batch[0]))

    def send_pending(self, run_id: str) -> None:
        """Try again to send the files that an artifact store did not take."""
        still: list[Entry] = []
        failure: StoreError | None = None
        pending_files = self._reader.pending_files()
        for position, entry in enumerate(pending_files, 1):
            sent: Path | None = None
            try:
                sent = self._upload(run_id, entry)
            except StoreError as error:
                still.append(entry)
                failure = error
                continue
            except (NotFoundError, UsageError) as refusal:
                self._refuse(entry, refusal.problem)
            self._reader.set_pending([*still, *pending_files[position:]])
            if sent is not None:
                self._reader.discard(sent)
        if failure is not None:
            raise failure

    def _send_values(self, run_id: str, batch: list[Entry]) -> None:
        send = partial(
            runs.send,
            self._store,
            run_id,
            metrics=[point_of(e) for e in batch if e[0] == "m"],
            params=[(e[1], e[2]) for e in batch if e[0] == "p"],
            tags=[(e[1], e[2]) for e in batch if e[0] == "t"],
        )
        if len(batch) == 1:
            self._try(run_id, batch[0], send)
            return
        try:
            send()
        except Exception as failure:
            if not self._may_be_refused(run_id, failure):
                raise
            half = len(batch) // 2
            self._send_values(run_id, batch[:half])
            self._send_values(run_id, batch[half:])

    def _send_file(self, run_id: str, entry: Entry) -> Path | None:
        """Send a file or model; one that is not taken stays pending."""
        try:
            return self._upload(run_id, entry)
        except StoreError:  # what comes after it need not wait for it
            self._reader.add_pending(entry)
            return None

    def _upload(self, run_id: str, entry: Entry) -> Path:
        kind, path, *content = entry
        try:
            kept = self._reader.find_file(path)
        except ValueError as error:
            raise UsageError(f"{error}.", fix="It was not sent.") from error
        described = kept / "MLmodel" if kept and kind == "model" else kept
        if kept is None or described is None or not described.exists():
            raise UsageError(
                f"{path!r} is not in the journal any more.", fix="Log it again."
            )
        is_large = _size_bytes(kept) > _LARGE_BYTES
        try:
            if is_large:
                self._progress.is_busy = True
                self._on_progress()
            self._upload_file(run_id, kind, kept, *content)
        finally:
            self._progress.is_busy = False
        return kept

    def _upload_file(self, run_id: str, kind: str, kept: Path, *content: str) -> None:
        if kind == "file":
            (folder,) = content
            check_artifact_path(f"{folder}/{kept.name}" if folder else kept.name)
            artifacts.log_file(
                self._store, run_id, kept, folder, location=self.location
            )
            return
        from nbmlops.store.models.models import send_model

        name, key = content
        begun = kept.with_suffix(".begun")
        is_repeated = begun.exists()
        begun.touch()
        self._progress.models[key] = send_model(
            self._store, run_id, kept, name=name, key=key, is_repeated=is_repeated
        )

    def _try(self, run_id: str, entry: Entry, send: Callable[[], _T]) -> _T | None:
        """Send one entry, or set it aside when the store will never take it."""
        while True:
            try:
                return send()
            except Exception as failure:
                if not self._may_be_refused(run_id, failure):
                    raise
                reason = getattr(
                    failure, "problem", f"{type(failure).__name__}: {failure}"
                )
                if not isinstance(failure, UsageError | ConflictError):
                    # The store takes other things, but cannot say what is wrong.
                    text = json.dumps(entry)
                    self._tries[text] += 1
                    if self._tries[text] < _MOST_TRIES:
                        if isinstance(failure, StoreError):
                            continue
                        raise
            self._refuse(entry, reason)
            return None

    def _refuse(self, entry: Entry, reason: str) -> None:
        """Set aside what the store will never take; the user decides."""
        with embedded.writing(self._reader.folder.parent):
            kept_in = self._reader.refuse(entry, reason)
        self._progress.refused.append(
            f"{what_of(entry)} is kept in {kept_in}: {reason}"
        )

    def _may_be_refused(self, run_id: str, failure: Exception) -> bool:
        """Return whether the fault may lie in what was sent, not in the store."""
        if isinstance(failure, UsageError | ConflictError):
            self._check_there(run_id)
            return True
        if isinstance(failure, StoreError):
            if not failure.is_doubtful:
                return False
        elif isinstance(failure, NbmlopsError | OSError):
            return False
        try:
            runs.send(self._store, run_id, tags=[(KEY, self._reader.key)])
        except NbmlopsError:
            return False
        return True

    def _check_there(self, run_id: str) -> None:
        with answering(self._store, missing=f"No run {run_id!r}."):
            info = backend(self._store).get_run(run_id).info
        if info.lifecycle_stage == "deleted":
            raise NotFoundError(
                f"Run {run_id} was deleted while values for it were on their way.",
                fix="Restore it with `mlflow runs restore`, then run: nbmlops sync",
            )


def point_of(entry: Entry) -> runs.Point:
    """Return the point of a metric that an entry holds."""
    _, at_ms, name, value, step = entry
    return name, float(value), at_ms, step


def _size_bytes(path: Path) -> int:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())
