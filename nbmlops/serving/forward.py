"""Requests handed on to the worker of another version, over its Unix socket."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections import deque
from collections.abc import Callable, Mapping

import httptools

from nbmlops.serving.http.messages import Request, Response

REQUEST_ID = b"x-nbmlops-request-id"
"""Carries the id of a request that is handed on."""
_KEY = b"x-request-key"
_PASSED = (b"content-type", b"authorization")
_MOST_OPEN = 64
_ANSWER_S = 60.0
Done = Callable[[Response | None], None]


class Upstream:
    """Sends requests to one worker over a few connections that stay open."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._idle: list[_Connection] = []
        self._n_open = 0
        self._waiting: deque[tuple[bytes, Done]] = deque()
        self._is_closed = False

    def send(self, request: Request, done: Done) -> None:
        """Send a request; ``done`` gets its answer, or None where none came."""
        item = _encode(request), done
        if self._idle:
            self._idle.pop().ask(*item)
        elif self._n_open < _MOST_OPEN:
            self._n_open += 1
            self._loop.create_task(self._open(item))
        elif len(self._waiting) < _MOST_OPEN and not self._is_closed:
            self._waiting.append(item)
        else:
            done(None)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is awaited."""
        return self._n_open > len(self._idle)

    async def _open(self, item: tuple[bytes, Done]) -> None:
        try:
            _, connection = await self._loop.create_unix_connection(
                lambda: _Connection(self), self._path
            )
        except OSError:
            self._n_open -= 1
            item[1](None)
        else:
            connection.ask(*item)

    def is_free(self, connection: _Connection) -> None:
        """Use a connection for what waits, or later."""
        if self._waiting:
            connection.ask(*self._waiting.popleft())
        elif self._is_closed:
            connection.close()
        else:
            self._idle.append(connection)

    def is_lost(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._n_open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting:
            self._n_open += 1
            self._loop.create_task(self._open(self._waiting.popleft()))

    def close(self) -> None:
        """Send no more, and close what is idle."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._done: Done | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that no answer comes."""
        self._upstream.is_lost(self)
        self._finish(None)

    def ask(self, data: bytes, done: Done) -> None:
        """Send a request."""
        self._done = done
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}
        self._timer = asyncio.get_running_loop().call_later(_ANSWER_S, self.close)
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Parse a piece of the answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._headers[name.lower()] = value

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Hand the answer on."""
        headers = self._headers
        names = ("server-timing", "retry-after")
        response = Response(
            b"".join(self._pieces),
            status=self._parser.get_status_code(),
            content_type=headers.get(b"content-type", b"application/json"),
            headers={
                name: headers[name.encode()].decode("latin-1")
                for name in names
                if name.encode() in headers
            },
        )
        response.version = headers.get(b"x-model-version")
        is_kept = self._parser.should_keep_alive()
        self._finish(response)
        if is_kept:
            self._upstream.is_free(self)
        else:
            self._transport.close()

    def _finish(self, response: Response | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            self._timer.cancel()
            done(response)

    def close(self) -> None:
        """Close it; who waits gets no answer."""
        self._transport.abort()


def _encode(request: Request) -> bytes:
    lines = [f"POST {request.path} HTTP/1.1\r\nhost: localhost".encode("latin-1")]
    for name in _PASSED:
        if name in request.headers:
            lines.append(name + b": " + request.headers[name])
    lines.append(REQUEST_ID + b": " + request.request_id.encode())
    lines.append(b"content-length: %d\r\n" % len(request.body))
    return b"\r\n".join(lines) + b"\r\n" + request.body


def is_taken(headers: Mapping[bytes, bytes], request_id: str, share: float) -> bool:
    """Return whether a request is the canary's: always the same for a key."""
    key = headers.get(_KEY) or request_id.encode()
    return zlib.crc32(key) < share * 2**32


class Canary:
    """A share of the requests, the same for each key, for the worker of a version."""

    def __init__(self, path: str, share: float) -> None:
        self._upstream = Upstream(path)
        self.close = self._upstream.close
        self._share = share

    def takes(self, request: Request) -> bool:
        """Return whether a request is the canary's."""
        return is_taken(request.headers, request.request_id, self._share)

    def answer(
        self,
        request: Request,
        reply: Callable[[Response], None],
        otherwise: Callable[[], None],
    ) -> None:
        """Have the canary answer; the champion does where that fails."""

        def done(response: Response | None) -> None:
            if response is None or response.status >= 500:
                otherwise()
            else:
                reply(response)

        self._upstream.send(request, done)


class Shadow:
    """Copies of the requests, for the worker of a version whose answers nobody gets."""

    def __init__(self, path: str) -> None:
        self._upstream = Upstream(path)
        self.close = self._upstream.close
        self.n_sent = self.n_lost = self.n_different = 0

    @property
    def is_busy(self) -> bool:
        """Whether an answer is awaited."""
        return self._upstream.is_busy

    def send(self, request: Request, answered: bytes) -> None:
        """Copy a request whose answer has gone out."""
        self.n_sent += 1

        def done(response: Response | None) -> None:
            if response is None or response.status != 200:
                self.n_lost += 1
            elif response.body != answered:
                self.n_different += _said(response.body) != _said(answered)

        asyncio.get_running_loop().call_soon(self._upstream.send, request, done)


def _said(body: bytes) -> object:
    """Return an answer without the version that it names."""
    answer = json.loads(body)
    answer.pop("model_version", None)
    return answer
