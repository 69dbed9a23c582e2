"""Journals sent to the store by a forked process, which has MLflow loaded.

To load MLflow takes longer than most steps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from nbmlops.config import Settings
from nbmlops.engines.local import Process
from nbmlops.errors import NbmlopsError
from nbmlops.forkserver.runtime_dir import ForkUnavailable
from nbmlops.pipeline.runner import worker_process
from nbmlops.store import Store, connect
from nbmlops.tracking.run.deferred import DeferredRun

_PATIENCE_S = 5.0
_PATIENCE_WITH_TABLES_S = 120.0  # MLflow makes those of a database on first use


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTask:
    """The journal of a run, to be sent."""

    settings: Settings
    key: str


class JournalSender:
    """Sends journals in a forked process; in none if this one has loaded MLflow."""

    def __init__(
        self, store: Store, environment: Callable[[], Mapping[str, str]]
    ) -> None:
        self._store, self._environment = store, environment
        self._process: Process | None = None
        self._is_given_up = False

    def send(self, run: DeferredRun) -> bool:
        """Send what a run has so far; return whether it is in the store."""
        process = self._process or self._begin()
        if process is None:
            return False
        process.submit(SendTask(settings=self._store.settings, key=run.key))
        limit_s = _PATIENCE_S if self._store.is_served else _PATIENCE_WITH_TABLES_S
        answer = process.answer() if process.wait(limit_s) else None
        if not answer:  # it was killed, or the store keeps silent, or refuses
            self._process, self._is_given_up = None, True
            process.kill()
            process.close()
            return False
        run.set_run_id(str(answer))
        return True

    def _begin(self) -> Process | None:
        if "mlflow" not in sys.modules and not self._is_given_up:
            with suppress(ForkUnavailable):
                self._process = Process(
                    worker_process.__name__, self._environment(), must_fork=True
                )
        return self._process

    def close(self) -> None:
        """End the process; there is no other."""
        self._is_given_up = True
        if self._process is not None:
            self._process.close()
            self._process = None


def send_journal_of(task: SendTask) -> str:
    """Send a journal, in the process that was forked for it."""
    from nbmlops.tracking.journal.dirs import journal_dirs
    from nbmlops.tracking.journal.reader import JournalReader
    from nbmlops.tracking.sync.sync import send_journal

    try:
        store = connect(task.settings, must_answer=False)
        sent = send_journal(
            store, JournalReader(task.key, journal_dirs(task.settings.home))
        )
    except NbmlopsError:
        return ""
    if sent is None:
        return task.key
    return "" if sent.state == "kept" or sent.n_kept else sent.run_id
