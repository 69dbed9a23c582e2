"""What requests for predictions have in common, whatever their layout."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from nbmlops.scoring.request import Table
from nbmlops.serving.http.messages import Request
from nbmlops.serving.scorer import Job


class Asked(NamedTuple):
    """What one request asks for."""

    rows: np.ndarray[Any, Any] | Table
    n_rows: int
    outputs: tuple[str, ...]
    id: str | None = None  # what the client calls it


class ScoringProtocol(Protocol):
    """Reads requests, and writes their answers."""

    def read(self, request: Request) -> Asked:
        """Return what a request asks for, or refuse it; set ``request.parsed``."""

    def write(self, job: Job, asked: Asked) -> bytes:
        """Return the body of an answer."""


def n_rows_of(table: Table) -> int:
    """Return how many rows a table has."""
    if table.records is not None:
        return len(table.records)
    if table.sparse is not None:
        shape = table.sparse.get("shape")
        return int(shape[0]) if isinstance(shape, list) and shape else 0
    return len(table.columns[0])
