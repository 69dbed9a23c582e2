"""What an endpoint writes of its requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, time_ns
from typing import Any, Protocol

import numpy as np

from nbmlops.scoring.request import Table
from nbmlops.serving.http.messages import Request
from nbmlops.serving.model import ServedModel
from nbmlops.serving.request_log.requests import LoggedRequest


class Requests(Protocol):
    """Where requests are written: a `RequestLog`, say."""

    def append(self, logged: LoggedRequest) -> None:
        """Have a request written; never blocks or raises."""

    def close(self) -> None:
        """Write what was appended."""


class Truth(Protocol):
    """Where labels are written: `Feedback`, say."""

    def append(self, request_id: object, label: object) -> None:
        """Have the labels of a request written, or raise UsageError."""

    def close(self) -> None:
        """Write what was appended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Where requests and their labels are written, if anywhere."""

    log: Requests | None = None
    feedback: Truth | None = None

    def write(
        self,
        request: Request,
        model: ServedModel,
        *,
        route: str,
        status: int,
        rows: np.ndarray[Any, Any] | Table | None = None,
        outputs: list[Any] | None = None,
    ) -> None:
        """Append a request that has been answered."""
        if self.log is None:
            return
        seconds = perf_counter() - request.arrived
        inputs: object = rows
        if isinstance(rows, Table):
            inputs = _columns(rows, [column.name for column in model.spec.columns])
        self.log.append(
            LoggedRequest(
                request_id=request.request_id,
                time_ns=time_ns() - int(seconds * 1e9),
                version=model.version,
                route=route,
                status=status,
                latency_us=int(seconds * 1e6),
                inputs=inputs,
                outputs=outputs,
            )
        )

    def close(self) -> None:
        """Write what was appended."""
        for each in (self.log, self.feedback):
            if each is not None:
                each.close()


def _columns(table: Table, names: Sequence[str]) -> tuple[Sequence[Any], ...] | None:
    """Return the columns of a table in the order of the signature."""
    if table.records is not None:
        return tuple([row.get(n) for row in table.records] for n in names)
    if table.sparse is not None:
        return None
    found = dict(zip(table.names or names, table.columns, strict=False))
    gaps = [None] * len(table.columns[0])
    return tuple(found.get(name, gaps) for name in names)
