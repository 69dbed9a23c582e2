"""The embedded tracking store: one migrated SQLite file, made once."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote, urlsplit

import platformdirs
from filelock import FileLock, Timeout

from nbmlops.errors import StoreError, UsageError

_LOCK_TIMEOUT_S = 120
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_followed: set[Path] = set()


def database(home: Path) -> Path:
    """Return where the embedded database of a project is or would be."""
    return home / "mlflow.db"


def artifact_root(home: Path) -> Path:
    """Return where the embedded store keeps its artifacts."""
    return home / "artifacts"


def tracking_uri(home: Path) -> str:
    """Return the MLflow tracking URI of the embedded store."""
    return f"sqlite:///{database(home).as_posix()}"


def ensure(home: Path) -> None:
    """Make the embedded store unless it is there."""
    target = database(home)
    if target.exists():
        if home not in _followed:
            _followed.add(home)
            follow_rename(home)
        return
    refuse_to_hide_file_store(home)
    with writing(home):
        make_home(home)
        with _locked(home / "store.lock"):
            if not target.exists():
                _make(home)


def follow_rename(home: Path) -> None:
    """Have the store find its artifacts where the project's folder is now.

    MLflow keeps their absolute locations, which a folder that was renamed or copied
    takes along.
    """
    root = artifact_root(home).absolute()
    with (
        suppress(sqlite3.Error),  # it is locked, or read only, and as it was then
        closing(sqlite3.connect(database(home), timeout=5)) as connection,
        connection,
    ):
        first = "SELECT artifact_location FROM experiments WHERE experiment_id = 0"
        (location,) = connection.execute(first).fetchone() or ("",)
        before = Path(unquote(urlsplit(location).path)).parent
        if before == root or before.parts[-2:] != root.parts[-2:]:
            return
        # By another way to the same folder, or a copy of the database alone.
        if before.exists() and not (root.exists() and not before.samefile(root)):
            return
        for table, column in _LOCATIONS:
            for old, new in (
                (before.as_uri(), root.as_uri()),
                (before.as_posix(), root.as_posix()),
            ):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608
                    f"WHERE substr({column}, 1, ?) = ?",
                    (new, len(old) + 1, len(old) + 1, f"{old}/"),
                )


def make_home(home: Path) -> None:
    """Make the project's ``.nbmlops`` folder, which no repository takes in."""
    home.mkdir(parents=True, exist_ok=True)
    ignore = home / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk refuses below ``path`` into a StoreError."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise disk_error(error, path) from error


def disk_error(error: Exception, path: Path) -> StoreError:
    """Return the StoreError of what the disk refused, and where."""
    number = getattr(error, "errno", None)
    text = str(error).lower()
    if number in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in text:
        free = _free_bytes(path)
        return StoreError(
            f"No space left for {path}: {free} bytes are free.",
            fix="Free some space there, then run it again.",
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) or "readonly" in text:
        return StoreError(
            f"{path} cannot be written.",
            fix="Make it writable for this user, or work in a project that is.",
        )
    return StoreError(
        f"{path} could not be written: {error}.",
        fix="See that the folder exists on a disk that works, then run it again.",
    )


def _free_bytes(path: Path) -> int:
    folder = next(p for p in (path, *path.absolute().parents) if p.exists())
    return shutil.disk_usage(folder).free


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        with FileLock(path, timeout=_LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise StoreError(
            f"Another process has held {path} for {_LOCK_TIMEOUT_S} seconds.",
            fix="End that process, then run it again.",
        ) from error


def refuse_to_hide_file_store(home: Path) -> None:
    """Raise UsageError when an older file store was not brought over yet."""
    runs = home.parent / "mlruns"
    with suppress(OSError):
        if any(runs.glob("[0-9]*/meta.yaml")):
            raise UsageError(
                f"An older MLflow file store is in {runs}, and MLflow no longer reads "
                "it as it is.",
                fix=f"Bring it over with: mkdir -p '{home}' && "
                f"mlflow migrate-filestore --source '{home.parent}' "
                f"--target '{tracking_uri(home)}' "
                "(or rename mlruns to start with an empty store).",
            )


def _make(home: Path) -> None:
    draft = home / f"mlflow.db.{os.getpid()}"
    try:
        shutil.copyfile(_template(home), draft)
        root = artifact_root(home).absolute().as_uri()
        with closing(sqlite3.connect(draft)) as connection, connection:
            connection.execute(
                "UPDATE experiments SET artifact_location = ? || '/' || experiment_id",
                (root,),
            )
        draft.replace(database(home))
    finally:
        draft.unlink(missing_ok=True)


def _template(home: Path) -> Path:
    """Return a migrated, empty database for the installed MLflow, made once a user."""
    folder = platformdirs.user_cache_path("nbmlops")
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = folder if os.access(folder, os.W_OK) else home
    template = folder / f"mlflow-{version('mlflow')}.db"
    if not template.exists():
        with _locked(template.with_suffix(".lock")):
            if not template.exists():
                _migrate(template)
    return template


def _migrate(template: Path) -> None:
    draft = template.with_suffix(f".{os.getpid()}")
    uri = f"sqlite:///{draft.as_posix()}"
    with quiet("alembic", "mlflow.store.db.utils"):
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        try:
            store = SqlAlchemyStore(uri, str(template.parent))
            store.engine.dispose()
            with closing(sqlite3.connect(draft)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
            draft.replace(template)
        finally:
            SqlAlchemyStore._engine_map.pop(uri, None)
            draft.unlink(missing_ok=True)


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Keep loggers from printing below CRITICAL meanwhile."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
