"""MLflow's tables, asked without MLflow, whose import takes seconds."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cache, lru_cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from nbmlops.errors import UsageError
from nbmlops.store.backend import backend
from nbmlops.store.connection import Store, answering

_BUSY_TIMEOUT_S = 20
_STREAMED_ROWS = 25_000
_REVISION = r"(?m)^(down_revision|revision)\b.*?[\"'](\w+)[\"']"
_known: set[str] = set()


class Connection:
    """A connection; ``:name`` in a statement takes a value, or a list for IN."""

    def __init__(self, connection: Any, *, is_plain: bool) -> None:  # noqa: ANN401
        self._connection, self._is_plain = connection, is_plain
        self.regexp = "REGEXP" if is_plain else "~"
        if is_plain:  # of sqlite3; else of sqlalchemy
            connection.execute("PRAGMA case_sensitive_like = true")
            connection.create_function("regexp", 2, _matches, deterministic=True)

    def stream(self, statement: str, **values: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows a statement finds."""
        return map(tuple, self._execute(statement, values, yield_per=_STREAMED_ROWS))

    def query(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows a statement finds."""
        return [*map(tuple, self._execute(statement, values))]

    def change(self, statement: str, **values: Any) -> int:
        """Commit a statement, and return how many rows it changed."""
        changed: Any = self._execute(statement, values)
        n_rows: int = changed.rowcount
        self._connection.commit()
        return n_rows

    def _execute(
        self, statement: str, values: dict[str, Any], **options: Any
    ) -> Iterable[Any]:
        written, single = _with_lists(statement, values)
        if self._is_plain:
            rows: Iterable[Any] = self._connection.execute(written, single)
            return rows
        from sqlalchemy import text

        found: Iterable[Any] = self._connection.execute(
            text(written), single, execution_options=options
        )
        return found


def has_tables(store: Store) -> bool:
    """Return whether the store is a database with the tables of this MLflow."""
    scheme = store.uri.partition(":")[0].partition("+")[0]
    if scheme not in ("sqlite", "postgresql"):
        return False
    if os.environ.get("MLFLOW_ENABLE_WORKSPACES", "").lower() in ("1", "true"):
        return False
    if store.uri not in _known:
        if not _is_current(store):
            # Makes the tables of an empty database, refuses those of another MLflow.
            with answering(store):
                backend(store)
            if not _is_current(store):
                return False
        _known.add(store.uri)
    return True


@contextmanager
def connected(store: Store) -> Iterator[Connection]:
    """Yield a connection to the store's database."""
    with answering(store), _connection(store.uri) as connection:
        yield connection


def select(store: Store, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """Return the rows that one statement finds in the store's database."""
    with connected(store) as connection:
        return connection.query(statement, **values)


def offset_of(token: str | None) -> int:
    """Return where a page of a database's begins."""
    if token and not token.isdecimal():
        raise UsageError(
            f"{token!r} is no page token.", fix="Take it from the page before."
        )
    return int(token or 0)


@contextmanager
def _connection(uri: str) -> Iterator[Connection]:
    path = uri.removeprefix("sqlite:///")
    if path != uri and "?" not in path and path != ":memory:":
        address = f"{Path(path).absolute().as_uri()}?mode=rw"  # never make a new file
        with closing(
            sqlite3.connect(address, uri=True, timeout=_BUSY_TIMEOUT_S)
        ) as connection:
            yield Connection(connection, is_plain=True)
        return
    with _engine(uri, os.getpid()).connect() as connection:
        yield Connection(connection, is_plain=False)


@lru_cache(maxsize=8)
def _engine(uri: str, _: int) -> Any:  # noqa: ANN401 - of sqlalchemy
    """Return an engine of this process; a forked one must not share its connections."""
    import sqlalchemy

    return sqlalchemy.create_engine(uri, pool_pre_ping=True)


def _is_current(store: Store) -> bool:
    try:
        with _connection(store.uri) as connection:
            found = connection.query("SELECT version_num FROM alembic_version")
    except sqlite3.Error:
        return False
    except Exception as error:
        if not type(error).__module__.startswith("sqlalchemy"):
            raise
        return False
    return found == [(_newest_revision(),)]


@cache
def _newest_revision() -> str:
    """Return the revision of the schema that the installed MLflow works with."""
    # Not found by `find_spec`: a project may have a module of that name.
    package = Path(str(distribution("mlflow").locate_file("mlflow")))
    scripts = package.glob("store/db_migrations/versions/[0-9a-f]*.py")
    texts = [script.read_text("utf-8") for script in scripts]
    given = {each for text in texts for each in re.findall(_REVISION, text)}
    (newest,) = {name for kind, name in given if kind == "revision"} - {
        name for kind, name in given if kind == "down_revision"
    }
    return str(newest)


def _with_lists(statement: str, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Write each list out, one name for each of its items."""
    single: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, list):
            items = {f"{name}_{place}": item for place, item in enumerate(value)}
            listed = ", ".join(f":{item}" for item in items) or "NULL"
            statement = re.sub(rf":{name}\b", f"({listed})", statement)
            single |= items
        else:
            single[name] = value
    return statement, single


def _matches(pattern: str, text: str | None) -> bool:
    return text is not None and re.search(pattern, text) is not None
