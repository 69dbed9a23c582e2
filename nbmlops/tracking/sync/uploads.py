"""The files and models of a run on their way into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.errors import NotFoundError, StoreError, UsageError
from nbmlops.store import Store, artifacts
from nbmlops.tracking.journal.reader import JournalReader
from nbmlops.tracking.journal.records import Entry, what_of
from nbmlops.tracking.run.values import check_artifact_path

if TYPE_CHECKING:
    from nbmlops.tracking.sync.uploader import JournalUploader

_LARGE_BYTES = 1_000_000


class Uploads:
    """Sends the files and models of one run."""

    def __init__(
        self, store: Store, reader: JournalReader, uploader: JournalUploader
    ) -> None:
        self._store = store
        self._reader = reader
        self._uploader = uploader
        self.location: str | None = None

    def send(self, run_id: str, entry: Entry) -> Path | None:
        """Send a file or model; one that is not taken stays pending."""
        try:
            return self._upload(run_id, entry)
        except StoreError:  # what comes after it need not wait for it
            self._reader.add_pending(entry)
            return None

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
                self.refuse(entry, refusal.problem)
            self._reader.set_pending([*still, *pending_files[position:]])
            if sent is not None:
                self._reader.discard(sent)
        if failure is not None:
            raise failure

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
            self._set_busy(is_busy=is_large)
            self._send(run_id, kind, kept, *content)
        finally:
            self._set_busy(is_busy=False)
        return kept

    def _set_busy(self, *, is_busy: bool) -> None:
        if is_busy != self._uploader.progress.is_busy:
            self._uploader.progress.is_busy = is_busy
            self._uploader.on_progress()

    def _send(self, run_id: str, kind: str, kept: Path, *content: str) -> None:
        from nbmlops.store.models.models import send_model

        if kind == "file":
            (folder,) = content
            check_artifact_path(f"{folder}/{kept.name}" if folder else kept.name)
            artifacts.log_file(
                self._store, run_id, kept, folder, location=self.location
            )
        else:
            name, key = content
            begun = kept.with_suffix(".begun")
            is_repeated = begun.exists()
            begun.touch()
            self._uploader.progress.models[key] = send_model(
                self._store,
                run_id,
                kept,
                name=name,
                key=key,
                is_repeated=is_repeated,
            )

    def refuse(self, entry: Entry, reason: str) -> None:
        """Set aside what the store will never take; the user decides."""
        try:
            kept_in = self._reader.refuse(entry, reason)
        except OSError as error:
            raise StoreError(
                f"{self._reader.folder.parent} could not be written: {error}.",
                fix="Free some space there.",
            ) from error
        self._uploader.progress.refused.append(
            f"{what_of(entry)} is kept in {kept_in}: {reason}"
        )


def _size_bytes(path: Path) -> int:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())
