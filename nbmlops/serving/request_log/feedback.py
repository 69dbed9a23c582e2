"""The truth about answered requests: Parquet, a row for each label."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.errors import UsageError
from nbmlops.serving.request_log.writer import LogWriter

if TYPE_CHECKING:
    import pyarrow as pa

Label = bool | int | float | str
REQUEST_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Digits of our own, or a UUID of Ray Serve."""
_MOST_LABELS = 100_000
_MOST_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of one request's rows, from the first on; a gap says nothing."""

    request_id: str
    labels: Sequence[Label | None]
    time_ns: int

    @property
    def n_rows(self) -> int:
        """How many there are."""
        return len(self.labels)


class Feedback:
    """Appends labels to the Parquet files of a folder; make it after a fork."""

    def __init__(self, folder: Path, *, most_bytes: int, most_days: int) -> None:
        self._writer: LogWriter[Labels] = LogWriter(
            folder,
            _to_tables,
            row_bytes=100,
            most_bytes=most_bytes,
            most_days=most_days,
        )

    @property
    def dropped(self) -> int:
        """Labels that could not be written."""
        return self._writer.dropped

    def append(
        self, request_id: object, label: object, *, time_ns: int | None = None
    ) -> None:
        """Have the label of a request's row, or a list of them, one a row, written.

        What cannot be one raises UsageError.
        """
        self.put(labels_of(request_id, label, time_ns=time_ns))

    def put(self, labels: Labels) -> None:
        """Have labels written."""
        self._writer.put(labels)

    def close(self) -> None:
        """Write what was appended."""
        self._writer.close()


def labels_of(
    request_id: object, label: object, *, time_ns: int | None = None
) -> Labels:
    """Return the label of a request's row, or of each row; UsageError if it is none."""
    labels: list[Any] = label if isinstance(label, list) else [label]
    _check(request_id, labels)
    moment = time.time_ns() if time_ns is None else time_ns
    return Labels(str(request_id), labels, moment)


def _check(request_id: object, labels: Sequence[object]) -> None:
    if not isinstance(request_id, str) or not REQUEST_ID.fullmatch(request_id):
        raise UsageError(
            "The request_id is not one of an answer.",
            fix="Send what its header x-request-id says.",
        )
    if not 0 < len(labels) <= _MOST_LABELS:
        raise UsageError(
            f"There are {len(labels)} labels.",
            fix=f"Send one for each row of the request, at most {_MOST_LABELS}.",
        )
    for row, label in enumerate(labels):
        is_value = label is None or isinstance(label, Label)
        if not is_value or (isinstance(label, float) and math.isinf(label)):
            raise UsageError(
                f"The label of row {row} is not a value.",
                fix="Send a number, a text, true or false; null where none is known.",
            )
        if isinstance(label, str) and len(label) > _MOST_CHARACTERS:
            raise UsageError(
                f"The label of row {row} has {len(label)} characters.",
                fix=f"Send at most {_MOST_CHARACTERS}.",
            )
        if isinstance(label, int) and not -(2**63) <= label < 2**63:
            raise UsageError(
                f"The label of row {row} does not fit into 64 bits.",
                fix="Send it as text.",
            )


def _to_tables() -> Callable[[Sequence[Labels]], list[pa.Table]]:
    from nbmlops.serving.request_log.tables import FeedbackTables

    return FeedbackTables().of
