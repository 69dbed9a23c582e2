"""Deploys the version that an alias names when it moves; a child of the supervisor."""

from __future__ import annotations

import logging
import math
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from nbmlops.config import load_settings
from nbmlops.deployment import actions, records
from nbmlops.deployment.environment import make_environment
from nbmlops.deployment.records import LOCAL, Record
from nbmlops.deployment.supervisor.workers import fork_child
from nbmlops.errors import NbmlopsError
from nbmlops.governance.aliases import notice
from nbmlops.serving.log import keep_log, redirect
from nbmlops.store import Store, connect
from nbmlops.store.models.own_code import ANY, Trust
from nbmlops.store.registry.registered_models import get_model
from nbmlops.store.registry.versions import get_version

_log = logging.getLogger("nbmlops.follower")
_DATABASE_S, _SERVER_S = 0.1, 1.0
_LONGEST_PAUSE_S, _AT_LEAST_S = 30.0, 10.0
_FAILED_S = 60.0


def fork(folder: Path) -> int:
    """Return the process that follows the aliases of a folder's local endpoints."""
    parent = os.getpid()
    return fork_child("nbmlops aliases", lambda: _follow(folder, parent, LOCAL))


def _follow(folder: Path, parent: int, target: str) -> int:
    redirect(folder / "aliases.log")
    keep_log(folder / "aliases.log")
    store = connect(load_settings(folder.parents[1]), must_answer=False)
    changes = _changes(store)
    follower = _Follower(folder, store, target)
    pause_s, looked_at = 0.0, -math.inf
    while os.getppid() == parent:
        has_changed = next(changes)
        if has_changed or time.monotonic() - looked_at > _AT_LEAST_S:
            looked_at = time.monotonic()
            try:
                follower.look()
            except NbmlopsError as error:
                _log.warning("aliases are not followed: %s", error.problem)
                pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s or 1.0)
                looked_at = -math.inf
            else:
                pause_s = 0.0
        time.sleep(pause_s or (_SERVER_S if store.is_served else _DATABASE_S))
    return 0


def _changes(store: Store) -> Iterator[bool]:
    """Yield whether the store may have changed since it was asked last."""
    path = Path(store.uri.removeprefix("sqlite:///"))
    if not store.uri.startswith("sqlite:///") or not path.is_file():
        while True:
            yield True
    address = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        seen: object = None
        while True:
            with suppress(sqlite3.OperationalError):
                version = connection.execute("PRAGMA data_version").fetchone()
                yield version != seen
                seen = version
                continue
            yield True


class _Follower:
    """Deploys where an alias names another version than the one that is served."""

    def __init__(self, folder: Path, store: Store, target: str) -> None:
        self._folder, self._store, self._target = folder, store, target
        self._failed: dict[str, tuple[int, float]] = {}

    def look(self) -> None:
        """Look at each alias once."""
        for name in records.list_names(self._folder):
            record = records.find_record(self._folder, name)
            if record and record.alias and record.target == self._target:
                self._look_at(record, record.alias)

    def _look_at(self, record: Record, alias: str) -> None:
        name, model = record.name, record.champion.model
        aliases = get_model(self._store, model).aliases
        wanted = aliases.get(alias)
        if wanted == record.champion.version and record.not_followed is not None:
            actions.follow(self._store.settings, name, alias)
        failed, until = self._failed.get(name, (None, 0.0))
        if wanted in (None, record.champion.version, record.not_followed) or (
            wanted == failed and time.monotonic() < until
        ):
            return
        assert wanted is not None  # noqa: S101 - it was just compared
        _log.info("endpoint %s: %s is %s/%s now", name, alias, model, wanted)
        notice(self._store, model, aliases)
        try:
            actions.deploy(
                self._store,
                get_version(self._store, model, wanted),
                name=name,
                alias=alias,
                no_auth=record.no_auth,
                trust=self._trust(record),
                workers=record.serving.workers,
                environment=self._environment(record),
                target=record.target,
            )
        except NbmlopsError as error:
            self._failed[name] = wanted, time.monotonic() + _FAILED_S
            note = f"{model}/{wanted} is not served: {error.problem} {error.fix}"
            _log.warning("endpoint %s: %s", name, note)
            actions.note(self._store.settings, name, note)
        else:
            self._failed.pop(name, None)

    def _environment(self, record: Record) -> actions.MakeEnvironment | None:
        if not record.champion.has_env:
            return None
        return partial(make_environment, self._store.settings, announce=_log.info)

    def _trust(self, record: Record) -> Trust:
        """Return whose code may run; --trust holds for the version it was given."""
        given = record.champion.trust
        return self._store.settings.models.trust if given == ANY else given


if __name__ == "__main__":  # a supervisor that has threads cannot fork
    sys.exit(_follow(Path(sys.argv[1]), os.getppid(), sys.argv[2]))
