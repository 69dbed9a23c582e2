"""What changed about a project since the last poll."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from nbmlops.config import Settings
from nbmlops.deployment import records
from nbmlops.entities import to_json
from nbmlops.errors import NbmlopsError
from nbmlops.execution.progress import reader
from nbmlops.governance.aliases import notice_all
from nbmlops.governance.audit_log import AuditLog
from nbmlops.processes.process_id import ProcessId
from nbmlops.server._threads import load_gently
from nbmlops.store import connect, embedded
from nbmlops.store.registry.registered_models import list_models
from nbmlops.store.runs.queries import list_runs

TOPICS = ("models", "runs", "endpoints", "pipelines")
_ASK_STORE_S = 5.0
_REGISTRY = """
    SELECT 'models', count(*), max(last_updated_time) FROM registered_models
    UNION ALL SELECT 'versions', count(*), max(last_updated_time) FROM model_versions
    UNION ALL SELECT name, alias, version FROM registered_model_aliases
"""


class Changes:
    """Compares a project's state with the last one; of one thread only."""

    def __init__(self, settings: Settings) -> None:
        own = embedded.tracking_uri(settings.home)
        self._settings = settings
        self._is_embedded = settings.tracking_uri in (None, own)
        self._before: dict[str, object] = {}
        self._connection: sqlite3.Connection | None = None
        self._file = 0
        self._next_ask_at = 0.0
        self._log = AuditLog(settings)
        self._log_size = 0

    def poll(self) -> list[str]:
        """Return the topics that may have changed since the last poll, at first all."""
        now = {
            **self._before,
            "endpoints": self._poll_endpoints(),
            "pipelines": self._poll_pipelines(),
        }
        if self._is_embedded:
            with suppress(sqlite3.OperationalError):  # locked: see at the next poll
                now |= self._poll_database()
        elif time.monotonic() >= self._next_ask_at:
            now |= self._poll_store()
            self._next_ask_at = time.monotonic() + _ASK_STORE_S
        before, self._before = self._before, now
        is_new = object()
        return [t for t in TOPICS if now.get(t) != before.get(t, is_new)]

    def notice_aliases(self, topics: Iterable[str]) -> None:
        """Record the moves of aliases that other clients made, if there may be some.

        An alias may have been moved here and moved back there since the last poll.
        """
        before = self._log.size
        is_made = embedded.database(self._settings.home).exists()
        if "models" not in topics and before == self._log_size:
            return
        if is_made or not self._is_embedded:
            with suppress(NbmlopsError, OSError):  # noticed later
                notice_all(connect(self._settings))
                self._log_size = before

    def close(self) -> None:
        """Let go of the database."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _poll_database(self) -> dict[str, object]:
        path = embedded.database(self._settings.home)
        try:
            file = path.stat().st_ino
        except OSError:
            self.close()
            return {"models": None, "runs": None}
        if self._connection is None or file != self._file:
            self.close()
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.1
            )
            self._file = file
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        commit = (file, version)
        if self._before.get("runs") == commit:
            return {}
        return {
            "runs": commit,
            "models": self._connection.execute(_REGISTRY).fetchall(),
        }

    def _poll_store(self) -> dict[str, object]:
        try:
            store = connect(self._settings)
            load_gently(store)
            found = {
                "models": list_models(store, limit=1000),
                "runs": list_runs(store, limit=25),
            }
            return {topic: to_json(page) for topic, page in found.items()}  # NaN is NaN
        except NbmlopsError as error:
            return {"models": str(error), "runs": str(error)}

    def _poll_pipelines(self) -> list[object]:
        home, now = self._settings.home, time.time()
        found: list[object] = []
        for live_id, changed_at in reader.list_ids(home):
            owner = _owner(home, live_id, changed_at)
            is_over = owner is None or owner.is_dead(last_heartbeat=None, now=now)
            found.append((live_id, changed_at, is_over))
        return found

    def _poll_endpoints(self) -> list[object]:
        found: list[object] = []
        folder = records.root(self._settings)
        for name in records.list_names(folder):
            with suppress(OSError):
                file = (folder / name / "endpoint.json").stat()
                stamp = (file.st_ino, file.st_mtime_ns)
                record = _record(folder, name, stamp)
                runs = record and any(map(records.is_running, record.processes))
                found.append((name, stamp, bool(runs)))
        return found


@lru_cache(1024)
def _owner(home: Path, live_id: str, changed_at: int) -> ProcessId | None:
    return reader.owner_of(home, live_id)


@lru_cache(256)
def _record(folder: Path, name: str, stamp: tuple[int, int]) -> records.Record | None:
    return records.find_record(folder, name)
