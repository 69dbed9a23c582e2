"""Deploys the version that an alias names when it moves; a child of the supervisor."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

from nbmlops.config import load_settings
from nbmlops.deployment import local, records
from nbmlops.deployment.records import Record
from nbmlops.deployment.supervisor.workers import be_child
from nbmlops.errors import NbmlopsError
from nbmlops.store import Store, connect
from nbmlops.store.registry.registered_models import get_model
from nbmlops.store.registry.versions import get_version

_log = logging.getLogger("nbmlops.follower")
_DATABASE_S, _SERVER_S = 0.1, 1.0
_LONGEST_PAUSE_S = 30.0
_FAILED_S = 60.0


def fork(folder: Path) -> int:
    """Return the process that follows the aliases of a folder's endpoints."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        be_child("nbmlops aliases", lambda: _follow(folder, parent))
    return pid


def _follow(folder: Path, parent: int) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    store = connect(load_settings(folder.parents[1]), must_answer=False)
    database = _database(store.uri)
    follower = _Follower(folder, store)
    pause_s, seen = 0.0, None
    while os.getppid() == parent:
        stamp = _stamp(database) if database else object()
        if stamp != seen or follower.is_pending:
            try:
                follower.look()
            except NbmlopsError as error:
                _log.warning("aliases are not followed: %s", error.problem)
                pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s or 1.0)
            else:
                pause_s, seen = 0.0, stamp
        time.sleep(pause_s or (_SERVER_S if store.is_served else _DATABASE_S))
    return 0


def _database(uri: str) -> Path | None:
    path = Path(uri.removeprefix("sqlite:///"))
    return path if uri.startswith("sqlite:///") and path.is_file() else None


def _stamp(database: Path) -> list[tuple[int, int]]:
    """Return what changes with each write to a database of SQLite."""
    found = []
    for path in (database, database.with_name(f"{database.name}-wal")):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append((stat.st_mtime_ns, stat.st_size))
    return found


class _Follower:
    """Deploys where an alias names another version than the one that is served."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder, self._store = folder, store
        self._failed: dict[str, tuple[int, float]] = {}

    @property
    def is_pending(self) -> bool:
        """Whether a version that failed is due to be tried again."""
        now = time.monotonic()
        return any(now > until for _, until in self._failed.values())

    def look(self) -> None:
        """Look at each alias once."""
        for name in records.list_names(self._folder):
            record = records.find_record(self._folder, name)
            if record and record.alias:
                self._look_at(record, record.alias)

    def _look_at(self, record: Record, alias: str) -> None:
        name, model = record.name, record.champion.model
        wanted = get_model(self._store, model).aliases.get(alias)
        if wanted == record.champion.version and record.not_followed is not None:
            local.follow(self._store.settings, name, alias)
        failed, until = self._failed.get(name, (None, 0.0))
        if wanted in (None, record.champion.version, record.not_followed) or (
            wanted == failed and time.monotonic() < until
        ):
            return
        assert wanted is not None  # noqa: S101 - it was just compared
        _log.info("endpoint %s: %s is %s/%s now", name, alias, model, wanted)
        try:
            local.deploy(
                self._store,
                get_version(self._store, model, wanted),
                name=name,
                alias=alias,
                no_auth=record.no_auth,
                trust=record.champion.trust,
            )
        except NbmlopsError as error:
            self._failed[name] = wanted, time.monotonic() + _FAILED_S
            note = f"{model}/{wanted} is not served: {error.problem}"
            _log.warning("endpoint %s: %s", name, note)
            local.note(self._store.settings, name, note)
        else:
            self._failed.pop(name, None)
