"""The table of routes: the router and the description are both made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, TypeVar, get_type_hints

from nbmlops.server._request import Request

PAGE = ("limit", "page_token")
ROUTES: list[Route] = []
READ_TIMEOUT_S = 20.0
_Work = TypeVar("_Work", bound=Callable[[Request], object])


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a route answers when it is not a noun with the route's status."""

    content: object
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    summary: str
    work: Callable[[Request], object]
    action: str
    query: tuple[str, ...]
    body: Mapping[str, Any] | None
    answers: Any
    status: int

    @property
    def lane(self) -> str:
        """Which threads it uses: those of its resource."""
        return self.path.partition("/")[0]

    @property
    def timeout_s(self) -> float | None:
        """Seconds a caller waits; writes are waited for to their end."""
        return READ_TIMEOUT_S if self.method == "GET" else None


def route(
    method: Literal["GET", "POST", "PUT", "DELETE"],
    path: str,
    *,
    action: Literal["write", "execute"] = "write",
    query: tuple[str, ...] = (),
    body: Mapping[str, Any] | None = None,
    answers: Any = ...,  # noqa: ANN401 - a type, also of a generic
    status: int = 200,
) -> Callable[[_Work], _Work]:
    """Response a path by the function below; its first line is the summary.

    ``answers`` is the type of the content; by default what the function returns.
    """

    def add(work: _Work) -> _Work:
        returned = get_type_hints(work)["return"] if answers is ... else answers
        ROUTES.append(
            Route(
                method=method,
                path=path,
                summary=(work.__doc__ or "").partition("\n")[0],
                work=work,
                action="read" if method == "GET" else action,
                query=query,
                body=body,
                answers=None if returned in (Response, NoneType) else returned,
                status=status,
            )
        )
        return work

    return add
