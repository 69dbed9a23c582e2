"""What a route takes and answers, declared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nbmlops.server._request import Request

READ_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a route answers when it is not a noun with the route's status.

    Attributes
    ----------
    content : object
        A noun to be written as JSON, or bytes to be sent as they are.
    status : int
        HTTP status.
    content_type : str
        Of the bytes.
    """

    content: object
    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path.

    Attributes
    ----------
    method : str
        HTTP method.
    path : str
        Below ``nbmlops/api/``, with ``{names}``.
    summary : str
        What it does, for the description of the interface.
    work : callable
        Takes the `Request`, returns a noun, an `Answer` or None. Called in a thread.
    action : {"read", "write", "execute"}
        What Jupyter's authorizer is asked for.
    query : tuple of str
        Parameters it takes besides ``path``.
    body : Mapping of str to type, or None
        Fields of its JSON body, optional where None is allowed; None when it takes
        no body, or any.
    answers : type or None
        What ``work`` returns; None for no content or content that is described
        in ``summary`` alone.
    status : int
        HTTP status of the answer.
    """

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
