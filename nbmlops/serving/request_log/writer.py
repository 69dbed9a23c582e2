"""A thread that writes what is put, and holds up nobody."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

    from nbmlops.serving.request_log.parts import LogParts

_log = logging.getLogger(__name__)
_FLUSH_S = 1.2
_POLL_S = 0.2
_CLOSE_S = 10.0
_MOST_WAITING = 128_000_000
_MUCH_WAITING = 16_000_000
_ITEM_BYTES = 1_000
_CHUNK_ITEMS = 256
_CHUNK_BYTES = 2_000_000
_PAUSE_S = 0.0003


class _HasRows(Protocol):
    @property
    def n_rows(self) -> int: ...


Item = TypeVar("Item", bound=_HasRows)


class LogWriter(Generic[Item]):
    """Writes items as rows of Parquet, in a thread; make it after a fork.

    ``make_to_tables`` is called in the thread: nothing else waits for its imports.
    """

    def __init__(
        self,
        folder: Path,
        make_to_tables: Callable[[], Callable[[Sequence[Item]], list[pa.Table]]],
        *,
        row_bytes: int,
        most_bytes: int,
        most_days: int,
    ) -> None:
        self._folder = folder
        self._make_to_tables = make_to_tables
        self._row_bytes = row_bytes
        self._bounds = {"most_bytes": most_bytes, "most_days": most_days}
        self._waiting: deque[tuple[Item, int]] = deque()
        # One thread alone writes each of these, so that they need no lock.
        self._n_put = self._n_taken = self._n_refused = self._n_lost = 0
        self._is_failing = self._is_idle = False
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"log-{folder.name}", daemon=True
        )
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Rows that could not be written, or that were too many at once."""
        return self._n_refused + self._n_lost

    def put(self, item: Item) -> None:
        """Have an item written soon; drop it when too much waits."""
        try:
            n_rows = item.n_rows
        except (TypeError, AttributeError, IndexError):
            self._n_refused += 1
            return
        if self._n_put - self._n_taken > _MOST_WAITING or self._closed.is_set():
            self._n_refused += n_rows
            return
        size = _ITEM_BYTES + n_rows * self._row_bytes
        self._n_put += size
        self._waiting.append((item, size))
        if self._is_idle:
            self._woken.set()

    def close(self) -> None:
        """Write what was put, and end the thread; give up on a disk that hangs."""
        self._closed.set()
        self._woken.set()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        from nbmlops.serving.request_log.parts import LogParts

        to_tables = self._make_to_tables()
        parts = LogParts(self._folder, **self._bounds)
        while not self._closed.is_set() or self._waiting:
            self._woken.clear()
            self._is_idle = True
            if not self._waiting and not self._closed.is_set():
                self._woken.wait()
            self._is_idle = False
            self._gather()
            self._flush(parts, to_tables)
        parts.close()

    def _gather(self) -> None:
        """Wait, so that many items share one write."""
        until = time.monotonic() + _FLUSH_S
        while time.monotonic() < until:
            is_much = self._n_put - self._n_taken > _MUCH_WAITING
            if is_much or self._closed.wait(_POLL_S):
                return

    def _flush(
        self, parts: LogParts, to_tables: Callable[[Sequence[Item]], list[pa.Table]]
    ) -> None:
        """Write what waits, a little of it at a time.

        An event loop that asks for Python's lock waits 5 ms for a thread that computes
        on and on; so this one sleeps between two chunks.
        """
        tables: list[pa.Table] = []
        n_left, n_bytes = len(self._waiting), 0
        while n_left:
            chunk, size = self._take(n_left)
            n_left -= len(chunk)
            tables += self._tables(to_tables, chunk)
            self._n_taken += size
            n_bytes += size
            if n_bytes > _MUCH_WAITING or not n_left:
                self._write(parts, tables)
                tables, n_bytes = [], 0
            time.sleep(_PAUSE_S)

    def _tables(
        self, to_tables: Callable[[Sequence[Item]], list[pa.Table]], chunk: list[Item]
    ) -> list[pa.Table]:
        try:
            return to_tables(chunk)
        except Exception as error:  # noqa: BLE001 - a row ends no log
            if len(chunk) == 1:
                self._lose(chunk[0].n_rows, error)
                return []
        return [t for item in chunk for t in self._tables(to_tables, [item])]

    def _take(self, most: int) -> tuple[list[Item], int]:
        chunk: list[Item] = []
        size = 0
        while len(chunk) < min(most, _CHUNK_ITEMS) and size < _CHUNK_BYTES:
            item, item_size = self._waiting.popleft()
            chunk.append(item)
            size += item_size
        return chunk, size

    def _write(self, parts: LogParts, tables: Sequence[pa.Table]) -> None:
        from nbmlops.serving.request_log.parts import by_day

        try:
            days = by_day(tables)
        except Exception as error:  # noqa: BLE001 - nor does a time of no day
            self._lose(sum(table.num_rows for table in tables), error)
            return
        for day, rows in days:
            try:
                parts.write(day, rows)
            except Exception as error:  # noqa: BLE001 - nor does a full disk
                self._lose(rows.num_rows, error)
            else:
                self._is_failing = False

    def _lose(self, n_rows: int, error: Exception) -> None:
        self._n_lost += n_rows
        if not self._is_failing:
            self._is_failing = True
            _log.warning("Rows for %s are dropped: %s", self._folder, error)
