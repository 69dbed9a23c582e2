"""The log of an endpoint's requests: Parquet, a row for each row of input."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.entities import Column
from nbmlops.serving.request_log.writer import LogWriter

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request and its answer: references to what there is, no copies.

    ``time_ns`` is when it had arrived, UTC. ``inputs`` is None when nothing could be
    read, an array (n_rows, n_columns), or a tuple of columns, each a sequence of
    values; ``outputs`` has a prediction for each row, or is None.
    """

    request_id: str
    time_ns: int
    version: int
    route: str
    status: int
    latency_us: int
    inputs: object
    outputs: object

    @property
    def n_rows(self) -> int:
        """The rows that it takes in the log."""
        inputs: Any = self.inputs
        if inputs is None:
            return 1
        return len(inputs[0]) if type(inputs) is tuple else int(inputs.shape[0])


class RequestLog:
    """Appends requests to the Parquet files of a folder; make it after a fork.

    ``sample`` is the share of requests to keep; whether one is kept depends on its id
    alone. The oldest rows go when there are more than ``most_bytes`` or ``most_days``.
    """

    def __init__(
        self,
        folder: Path,
        columns: Sequence[Column],
        *,
        sample: float = 1.0,
        most_bytes: int,
        most_days: int,
    ) -> None:
        self._n_kept = round(sample * 2**32)
        self._keeps_all = sample >= 1
        self._writer: LogWriter[LoggedRequest] = LogWriter(
            folder,
            lambda: _to_tables(columns),
            row_bytes=100 + 8 * len(columns),
            most_bytes=most_bytes,
            most_days=most_days,
        )

    @property
    def dropped(self) -> int:
        """Rows that are not in the log: the disk was full, or too many came at once."""
        return self._writer.dropped

    def append(self, logged: LoggedRequest) -> None:
        """Have a request written within about two seconds; never blocks or raises."""
        if self._keeps_all or zlib.crc32(logged.request_id.encode()) < self._n_kept:
            self._writer.put(logged)

    def close(self) -> None:
        """Write what was appended."""
        self._writer.close()


def _to_tables(
    columns: Sequence[Column],
) -> Callable[[Sequence[LoggedRequest]], list[pa.Table]]:
    from nbmlops.serving.request_log.tables import RequestTables

    return RequestTables(columns).of
