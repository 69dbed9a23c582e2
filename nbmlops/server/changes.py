"""What changed about a project since the last look."""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from nbmlops.config import Settings
from nbmlops.deployment import records
from nbmlops.deployment.process import is_running
from nbmlops.entities import to_json
from nbmlops.errors import NbmlopsError
from nbmlops.execution.progress import reader
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
    """Tells a project's state from that at the last look; of one thread only."""

    def __init__(self, settings: Settings) -> None:
        own = embedded.tracking_uri(settings.home)
        self._settings = settings
        self._is_embedded = settings.tracking_uri in (None, own)
        self._before: dict[str, object] = {}
        self._connection: sqlite3.Connection | None = None
        self._file = 0
        self._ask_store_at = 0.0
        self._owners: dict[str, tuple[int, ProcessId | None]] = {}
        self._specs: dict[Path, tuple[int, records.Record | None]] = {}

    def look(self) -> list[str]:
        """Return the topics that may have changed since the last look, at first all."""
        now = {
            **self._before,
            "endpoints": self._look_at_endpoints(),
            "pipelines": self._look_at_pipelines(),
        }
        if self._is_embedded:
            with suppress(sqlite3.OperationalError):  # locked: see at the next look
                now |= self._look_at_database()
        elif time.monotonic() >= self._ask_store_at:
            now |= self._ask_store()
            self._ask_store_at = time.monotonic() + _ASK_STORE_S
        before, self._before = self._before, now
        is_new = object()
        return [t for t in TOPICS if now.get(t) != before.get(t, is_new)]

    def close(self) -> None:
        """Let go of the database."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _look_at_database(self) -> dict[str, object]:
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

    def _ask_store(self) -> dict[str, object]:
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

    def _look_at_pipelines(self) -> list[object]:
        home = self._settings.home
        changed = dict(reader.list_ids(home))
        for live_id, at in changed.items():
            if self._owners.get(live_id, (0, None))[0] != at:
                self._owners[live_id] = at, reader.owner_of(home, live_id)
        self._owners = {n: o for n, o in self._owners.items() if n in changed}
        now = time.time()
        return [
            (live_id, at, owner is None or owner.is_dead(last_heartbeat=None, now=now))
            for live_id, (at, owner) in self._owners.items()
        ]

    def _look_at_endpoints(self) -> list[object]:
        specs = {}
        for name in records.list_names(self._settings):
            folder = records.folder_of(self._settings, name)
            with suppress(OSError):
                written_at = (folder / "spec.json").stat().st_mtime_ns if folder else 0
                key = Path(name, folder.name if folder else "")
                kept = self._specs.get(key)
                specs[key] = (
                    kept
                    if kept and kept[0] == written_at
                    else (written_at, records.find_record(self._settings, name))
                )
        self._specs = specs
        return [
            (key, written_at, record is not None and is_running(record.process))
            for key, (written_at, record) in specs.items()
        ]
