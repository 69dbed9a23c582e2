"""Requests to an endpoint: loopback, no proxy, no redirect."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

UNANSWERED = (OSError, http.client.HTTPException)
"""What `ask` raises when no whole answer came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The response of an endpoint."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def error(self) -> tuple[str, str]:
        """Return the message and the fix of an error's body."""
        try:
            document = json.loads(self.body)
            return str(document["message"]), str(document["fix"])
        except (ValueError, KeyError, TypeError):
            return f"It answered with status {self.status}.", "See its log."


def ask(
    port: int,
    path: str,
    *,
    token: str | None,
    timeout_s: float,
    body: bytes | None = None,
    content_type: str = "application/json",
) -> Response:
    """Return the answer to a POST of ``body``, or to a GET without one."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    if body is not None:
        headers["content-type"] = content_type
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        # A body that is refused for its size is answered before all of it is sent.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(
                "GET" if body is None else "POST", path, body=body, headers=headers
            )
        response = connection.getresponse()
        return Response(
            status=response.status,
            headers={name.lower(): value for name, value in response.getheaders()},
            body=response.read(),
        )
    finally:
        connection.close()
