"""The process that sends the journals of one that has not loaded MLflow.

It is asked for a journal by a message, and answers with messages on how far it is. When
the process that started it has ended, it sends what is left.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import cast

from nbmlops.errors import NbmlopsError
from nbmlops.processes import start_detached
from nbmlops.store import Store
from nbmlops.tracking.journal.dirs import journal_dirs
from nbmlops.tracking.journal.reader import JournalReader
from nbmlops.tracking.sync.entries import UploadProgress
from nbmlops.tracking.sync.uploader import JournalUploader, as_ours, load

_Request = tuple[dict[str, str], Store, str]
"""The environment, the store, and the key of the journal to send."""
_Answer = tuple[UploadProgress, bool | NbmlopsError | None]
"""How far it is, and what came of it; None while it goes on."""
_GONE = (OSError, EOFError, ValueError, pickle.UnpicklingError)


class SenderLostError(Exception):
    """The process has ended."""


class SenderProcess:
    """A process that sends journals, one after another."""

    def __init__(self) -> None:
        self._connection, other = Pipe()
        with other:
            self.group = start_detached(__name__, Path.cwd(), stdin=other.fileno())
        self.is_ready = self.is_lost = False

    def ask(self, store: Store, key: str) -> Iterator[_Answer]:
        """Have a journal sent; yield how far it is, and at last what came of it."""
        try:
            request: _Request = dict(os.environ), store, key
            self._connection.send(request)
            result = None
            while result is None:
                answer: _Answer = self._connection.recv()
                self.is_ready, result = True, answer[1]
                yield answer
        except _GONE as error:
            self.is_lost = True
            self.close()
            raise SenderLostError from error

    def close(self) -> None:
        """Let it send what is left, and end."""
        self._connection.close()


class RemoteUploader:
    """Has the journal of one run sent by another process."""

    def __init__(self, process: SenderProcess, store: Store, key: str) -> None:
        self._process, self._store, self._key = process, store, key
        self.progress = UploadProgress(is_busy=not process.is_ready)

    def advance(self) -> bool:
        """Have sent what is there."""
        result: bool | NbmlopsError | None = None
        for progress, found in self._process.ask(self._store, self._key):
            self.progress, result = progress, found
        if isinstance(result, NbmlopsError):
            raise result
        return bool(result)


def main() -> None:
    """Send the journals that are asked for; at the end, what is left of them."""
    connection = Connection(os.dup(0))
    uploaders: dict[str, JournalUploader] = {}

    def answer(progress: UploadProgress, result: bool | NbmlopsError | None) -> None:
        with suppress(OSError):  # nobody waits for it any more
            connection.send((progress, result))

    while True:
        try:
            environ, store, key = cast("_Request", connection.recv())
        except _GONE:
            break
        os.environ.clear()
        os.environ.update(environ)
        progress, result = UploadProgress(), cast("bool | NbmlopsError", False)
        try:
            if key not in uploaders:
                load(store)
                reader = JournalReader(key, journal_dirs(store.settings.home))
                uploaders[key] = JournalUploader(
                    store,
                    reader,
                    written=lambda _: None,
                    progress=progress,
                    on_progress=partial(answer, progress, None),
                )
            progress = uploaders[key].progress
            answer(progress, None)  # MLflow is loaded
            result = uploaders[key].advance()
        except Exception as error:  # noqa: BLE001 - the other process decides
            result = as_ours(error)
        answer(progress, result)
        if progress.is_ended:
            del uploaders[key]
    for uploader in uploaders.values():
        with suppress(Exception):
            uploader.advance()


if __name__ == "__main__":
    main()
