"""What a route takes and answers, declared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nbmlops.server._request import Request

READ_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a route answers when it is not a noun with the route's status."""

    content: object
    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    summary: str
    work: Callable[[Request], object]
    action: Literal["read", "write", "execute"] = "read"
    query: tuple[str, ...] = ()
    body: Mapping[str, Any] | None = field(default=None)
    answers: Any = None
    status: int = 200

    @property
    def lane(self) -> str:
        """Which threads it uses: those of its resource."""
        return self.path.partition("/")[0]

    @property
    def timeout_s(self) -> float | None:
        """Seconds a caller waits; writes are waited for to their end."""
        return READ_TIMEOUT_S if self.method == "GET" else None
