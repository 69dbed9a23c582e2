"""Parquet files that grow, by UTC day: each is replaced by itself with more rows.

::

    requests/2026-11-30/
        101502-4711-1.parquet    a part; readers see its old rows or its new ones
        .101502-4711-1.lock      it may still grow: its writer holds the lock
        .101502-4711-1.tmp       its next content, which replaces it when it is whole

No row moves from one file to another: a reader of the folder, ours or not, sees no row
twice and misses none. To merge many files into one would need an exchange of several
names at once, which file systems do not have. A part that a writer left small, at its
end or by a kill, is continued by the next writer.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_PART_BYTES = 1 << 18
_MOST_PART_BYTES = 1 << 24
_GROWTH = 2
_MOST_OPEN = 8
_PRUNE_S = 60.0
_NOT_REPEATED = frozenset(("request_id",))


@dataclass(slots=True)
class _Part:
    path: Path
    lock: int
    rows: pa.Table | None = None

    @property
    def draft(self) -> Path:
        return self.path.with_name(f".{self.path.stem}.tmp")

    def replace(self, rows: pa.Table) -> None:
        """Have the file hold ``rows``; as it was when that fails."""
        try:
            pq.write_table(
                rows,
                str(self.draft),
                compression="snappy",
                use_dictionary=[
                    each.name
                    for each in rows.schema
                    if pa.types.is_string(each.type) and each.name not in _NOT_REPEATED
                ],
                write_statistics=["time"],
            )
            descriptor = os.open(self.draft, os.O_RDONLY)
            try:  # else a power cut may leave an empty file in place of the old one
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            self.draft.replace(self.path)
        except BaseException:
            with suppress(OSError):
                self.draft.unlink(missing_ok=True)
            raise
        self.rows = rows

    def release(self, *, is_full: bool) -> None:
        """Let others continue it, unless it is full."""
        if is_full or self.rows is None:
            with suppress(OSError):
                _lock_of(self.path).unlink(missing_ok=True)
        os.close(self.lock)


class LogParts:
    """The files of one log; several writers, each in its process, have one each."""

    def __init__(self, folder: Path, *, most_bytes: int, most_days: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._most_days = most_days
        # Small parts are rewritten with each flush; large ones make the bound coarse.
        self._most_part = max(1, min(_MOST_PART_BYTES, most_bytes // 8))
        self._open: dict[tuple[date, pa.Schema], _Part] = {}
        self._numbers = count(1)
        self._written = 0
        self._pruned_at: float | None = None

    def write(self, day: date, rows: pa.Table) -> None:
        """Add rows to the parts of a day; OSError when they are not there."""
        self._prune_if_due()
        key = (day, rows.schema)
        part = self._open.pop(key, None)
        if part is None:
            part = self._continued(day, rows.schema) or self._new(day)
        known = part.rows
        whole = rows if known is None else pa.concat_tables([known, rows])
        whole = whole.combine_chunks()
        try:
            self._folder_of(day)
            part.replace(whole)
        except BaseException:
            part.release(is_full=False)
            raise
        self._written += whole.nbytes
        # The more comes at once, the larger: what is rewritten stays in proportion.
        enough = max(_PART_BYTES, _GROWTH * rows.nbytes)
        if whole.nbytes >= min(enough, self._most_part):
            part.release(is_full=True)
        else:
            self._open[key] = part
        self._close_others(day)

    def close(self) -> None:
        """Let the next writer continue the open parts."""
        while self._open:
            self._open.popitem()[1].release(is_full=False)

    def _close_others(self, day: date) -> None:
        for key in list(self._open):
            if key[0] < day or len(self._open) > _MOST_OPEN:
                self._open.pop(key).release(is_full=key[0] < day)

    def _folder_of(self, day: date) -> Path:
        folder = self._folder / day.isoformat()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def _new(self, day: date) -> _Part:
        folder = self._folder_of(day)
        while True:
            stem = f"{datetime.now(UTC):%H%M%S}-{os.getpid()}-{next(self._numbers)}"
            path = folder / f"{stem}.parquet"
            if path.exists():
                continue
            with suppress(FileExistsError):
                lock = os.open(
                    _lock_of(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600
                )
                fcntl.flock(lock, fcntl.LOCK_EX)
                return _Part(path=path, lock=lock)

    def _continued(self, day: date, schema: pa.Schema) -> _Part | None:
        """Return a small part that another writer has left; None without one."""
        for path, lock in _left_parts(self._folder / day.isoformat()):
            part = _Part(path=path, lock=lock)
            try:
                if pq.read_schema(path).equals(schema):
                    # Without threads of Arrow's pool, which would stay.
                    part.rows = pq.ParquetFile(path).read(use_threads=False)
                    return part
            except FileNotFoundError:  # its writer was killed before its first rows
                part.draft.unlink(missing_ok=True)
            except (OSError, pa.ArrowException):
                pass  # it stays as it is: somebody may yet repair it
            else:
                os.close(lock)  # another schema: some other writer's
                continue
            part.release(is_full=True)
        return None

    def _prune_if_due(self) -> None:
        now = time.monotonic()
        is_due = (
            self._pruned_at is None
            or now - self._pruned_at > _PRUNE_S
            or self._written > self._most_bytes // 16
        )
        if is_due:
            self._pruned_at, self._written = now, 0
            with suppress(OSError):
                self._prune()

    def _prune(self) -> None:
        """Remove the oldest days and files, and what killed writers left."""
        today = datetime.now(UTC).date()
        first = (today - timedelta(days=self._most_days - 1)).isoformat()
        sizes: list[tuple[int, Path]] = []
        for folder in list_days(self._folder):
            if folder.name < first:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            if folder.name < today.isoformat():
                for path, lock in _left_parts(folder):
                    part = _Part(path=path, lock=lock)
                    part.draft.unlink(missing_ok=True)
                    part.release(is_full=True)
            for path in list_parts(folder):
                with suppress(FileNotFoundError):
                    sizes.append((path.stat().st_size, path))
        total = sum(size for size, _ in sizes)
        for size, path in sizes:
            if total <= self._most_bytes - self._most_part:
                break
            path.unlink(missing_ok=True)
            total -= size
        for folder in list_days(self._folder):
            if folder.name < today.isoformat():
                with suppress(OSError):
                    folder.rmdir()  # if it is empty


def list_days(folder: Path) -> list[Path]:
    """Return the folders of a log's days, oldest first."""
    try:
        names = sorted(filter(_DAY.fullmatch, os.listdir(folder)))  # noqa: PTH208
    except FileNotFoundError:
        return []
    return [folder / name for name in names]


def list_parts(folder: Path) -> list[Path]:
    """Return the parts of a day, oldest first."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names, of many files
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in names if name.endswith(".parquet")]


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.stem}.lock")


def _left_parts(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield the parts that may grow and that no writer has, locked for the caller."""
    for lock_path in sorted(folder.glob(".*.lock")):
        try:
            lock = os.open(lock_path, os.O_RDWR)
        except OSError:  # gone by now, or of another user
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        yield lock_path.with_name(f"{lock_path.stem[1:]}.parquet"), lock


def by_day(tables: Iterable[pa.Table]) -> list[tuple[date, pa.Table]]:
    """Return rows by the UTC day of their ``time``, of one schema each."""
    found: dict[tuple[int, pa.Schema], list[pa.Table]] = {}
    for table in tables:
        days = pc.cast(table["time"].cast(pa.date32()), pa.int32())
        for day in days.unique().to_pylist():
            is_whole = len(days.unique()) == 1
            rows = table if is_whole else table.filter(pc.equal(days, day))
            found.setdefault((day, table.schema), []).append(rows)
    return [
        (date(1970, 1, 1) + timedelta(days=day), pa.concat_tables(rows))
        for (day, _), rows in found.items()
    ]
