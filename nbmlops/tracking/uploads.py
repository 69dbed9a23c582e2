"""The files and models of a run on their way into the store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from nbmlops.errors import NbmlopsError, NotFoundError, StoreError, UsageError
from nbmlops.store import Store, artifacts
from nbmlops.tracking.batches import Entry
from nbmlops.tracking.spool import Spool

_LARGE_BYTES = 1_000_000


class Uploads:
    """Sends what lies beside the journal of one run.

    Parameters
    ----------
    store : Store
        Where to.
    spool : Spool
        The run's journal.

    Attributes
    ----------
    models : dict of str to str
        Model ids, by the key the model was given when it was kept.
    refused : list of str
        What the store will never take, in words.
    is_large : bool
        Whether a large file is on its way, which may take long.
    location : str or None
        MLflow's location of the run's artifacts, where it is known.
    """

    def __init__(self, store: Store, spool: Spool) -> None:
        self._store = store
        self._spool = spool
        self.models: dict[str, str] = {}
        self.refused: list[str] = []
        self.is_large = False
        self.location: str | None = None

    def send(self, run_id: str, entry: Entry) -> None:
        """Send a file or model; one that the artifact store does not take is owed.

        Parameters
        ----------
        run_id : str
            MLflow's id of the run.
        entry : Entry
            Of kind ``file`` or ``model``.

        Raises
        ------
        UsageError
            The store will never take it.
        """
        try:
            self._upload(run_id, *entry)
        except StoreError:  # what comes after it need not wait for it
            self._spool.owe(entry)

    def send_owed(self, run_id: str) -> None:
        """Try again to send the files that an artifact store did not take."""
        owed = self._spool.owed()
        try:
            while owed:
                self._upload(run_id, *owed[0])
                owed = owed[1:]
                self._spool.set_owed(owed)
        except (NotFoundError, UsageError) as refusal:
            self.refuse(owed[0], refusal)
            self._spool.set_owed(owed[1:])

    def _upload(self, run_id: str, kind: str, path: str, *content: str) -> None:
        self.is_large = _size_bytes(Path(path)) > _LARGE_BYTES
        try:
            self._send(run_id, kind, path, *content)
        finally:
            self.is_large = False

    def _send(self, run_id: str, kind: str, path: str, *content: str) -> None:
        from nbmlops.store.models import send_model

        kept = Path(path)
        if not kept.exists():  # it was sent, and the word of it was lost
            return
        if kind == "file":
            artifacts.log_file(
                self._store, run_id, kept, content[0], location=self.location
            )
            shutil.rmtree(kept.parent)
        else:
            name, key = content
            begun = kept.with_suffix(".begun")
            is_repeated = begun.exists()
            begun.touch()
            self.models[key] = send_model(
                self._store,
                run_id,
                kept,
                name=name,
                key=key,
                is_repeated=is_repeated,
            )
            shutil.rmtree(kept)

    def refuse(self, entry: Entry, refusal: NbmlopsError) -> None:
        """Set aside what the store will never take; the user decides.

        Parameters
        ----------
        entry : Entry
            What it is.
        refusal : NbmlopsError
            Why.

        Raises
        ------
        StoreError
            There is no room for it.
        """
        aside = self._spool.folder.parent / f"{self._spool.key}.refused.jsonl"
        try:
            with aside.open("a", encoding="utf-8") as file:
                file.write(json.dumps([*entry, str(refusal)]) + "\n")
        except OSError as error:
            raise StoreError(
                f"{aside} could not be written: {error}.", fix="Free some space there."
            ) from error
        self.refused.append(f"{entry[1]} is kept in {aside}: {refusal.problem}")


def _size_bytes(path: Path) -> int:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())
