"""Requests and answers, and what gives answers to requests."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from typing import Protocol

from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.scoring.request import refusal

_JSON = b"application/json"
_prefix, _numbers = os.urandom(8).hex(), itertools.count()


class Request:
    """One request; ``arrived`` and ``complete`` are of `time.perf_counter`, seconds.

    ``begin`` is called when the model begins with it.
    """

    __slots__ = (
        *("arrived", "begin", "body", "complete", "headers", "parsed"),
        *("method", "path", "refused", "request_id"),
    )

    def __init__(self, begin: Callable[[], None] = lambda: None) -> None:
        self.begin = begin
        self.refused: Response | None = None
        self.method = ""
        self.path = ""
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.arrived = self.complete = self.parsed = 0.0
        self.request_id = f"{_prefix}{next(_numbers):016x}"


class Response:
    """An answer as it is written."""

    __slots__ = ("body", "content_type", "headers", "status", "version")

    def __init__(
        self,
        body: bytes,
        *,
        status: int = 200,
        content_type: bytes = _JSON,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers or {}
        self.version: bytes | None = None  # of the model, where another one answered


def too_large(most_bytes: int) -> UsageError:
    """Return the error that a body has more bytes."""
    return refusal(
        f"The body is larger than {most_bytes} bytes.",
        fix="Send fewer rows at a time, or set max_request_bytes and deploy again.",
        status=413,
    )


Reply = Callable[[Response], None]


class App(Protocol):
    """What answers requests."""

    max_body_bytes: int

    def refuse(self, request: Request) -> Response | None:
        """Return why a request is not answered, by its headers alone."""

    def handle(self, request: Request, reply: Reply) -> None:
        """Answer a request, now or later, exactly once."""

    def failure(self, error: NbmlopsError, request: Request) -> Response:
        """Return an error as an answer."""

    def begin(self, request: Request) -> None:
        """Take note of a request whose headers are there."""

    def headers(self, request: Request, response: Response) -> bytes:
        """Return header lines of every answer."""
