"""A client's connection."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import deque
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from time import perf_counter

import httptools

from nbmlops.errors import DeployError, NbmlopsError
from nbmlops.scoring.request import refusal
from nbmlops.serving.connections import Connections
from nbmlops.serving.http.messages import App, Request, Response, too_large

_log = logging.getLogger(__name__)
_MOST_HEADER_BYTES = 65_536
_MOST_WAITING = 8
_REQUEST_S = 30.0
_IDLE_S = 120.0
_LINGER_S = 5.0
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_HOP = (b"upgrade", b"connection", b"expect")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpConnection(asyncio.Protocol):
    """A client's connection. Requests are answered in their order, one at a time."""

    def __init__(
        self,
        app: App,
        connections: set[HttpConnection],
        kept: Connections,
        slot: int,
        data: bytes = b"",
    ) -> None:
        self._app = app
        self._connections = connections
        self._kept, self._slot, self._data = kept, slot, data
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._request: Request | None = None  # being read
        self._pieces: list[bytes] = []
        self._n_bytes = 0  # of the body
        self._n_pending = 0  # since a request or a piece of a body was whole
        self._url = b""
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._is_answering = False
        self._has_ended = False  # no more is read
        self._is_draining = False
        self._is_lingering = False  # all is answered, and the client may not know it
        self.active_at = time.monotonic()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]
        self._connections.add(self)
        if self._data:  # which a worker before has read
            self.data_received(self._data)
        else:
            self._kept.answered(self._slot)

    def connection_lost(self, exc: Exception | None) -> None:
        """End it for the client too, although the supervisor has it."""
        self._connections.discard(self)
        with suppress(OSError):
            self._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._kept.closed(self._slot)

    def data_received(self, data: bytes) -> None:
        """Parse a piece, and answer the requests that are whole."""
        if self._has_ended:
            return
        self._kept.read(self._slot, data)
        if self._request is None:
            self._begin_request()
            self.active_at = time.monotonic()
        self._n_pending += len(data)
        try:
            while data:
                data = self._feed(data)
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserCallbackError):
                _log.error("a request was not read", exc_info=error)
            self._refuse(refusal("The request is not HTTP.", fix="Send HTTP/1.1."))
        if self._n_pending > _MOST_HEADER_BYTES:
            problem = f"The headers are larger than {_MOST_HEADER_BYTES} bytes."
            self._refuse(refusal(problem, fix="Send fewer.", status=431))

    def _feed(self, data: bytes) -> bytes:
        """Parse a piece; return what is left of it after a wish for another protocol.

        There is no other protocol: such a request is answered as any, as Java's client
        expects. The parser leaves out its body, and so gets it without the wish.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            left = data[upgrade.args[0] :]
            if self._request is None:
                return left
            headers = self._request.headers
            lines = [b"%s %s HTTP/1.1" % (self._parser.get_method(), self._url)]
            lines += [
                b"%s: %s" % each for each in headers.items() if each[0] not in _HOP
            ]
            self._parser = httptools.HttpRequestParser(self)
            return b"\r\n".join(lines) + b"\r\n\r\n" + left
        return b""

    def eof_received(self) -> bool:
        """Answer what was sent whole by a client that sends no more."""
        self._has_ended, self._request = True, None
        return self._is_answering

    # -- httptools

    _parser_is_in_body = False

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._request is None:  # another request in the same piece
            self._begin_request()
        self._url = b""
        self._pieces = []

    def _begin_request(self) -> None:
        self._request = Request(partial(self._kept.begin, self._slot))
        self._request.arrived = perf_counter()
        self._n_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the URL."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        assert self._request is not None  # noqa: S101 - it has begun
        if not self._parser_is_in_body:  # what follows a body is for nobody
            self._request.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Refuse at once what will not be answered."""
        request = self._request
        assert request is not None  # noqa: S101 - it has begun
        if self._has_ended:
            return
        request.method = self._parser.get_method().decode("ascii")
        request.path = self._url.partition(b"?")[0].decode("latin-1")
        self._parser_is_in_body = True
        self._app.begin(request)
        length = request.headers.get(b"content-length", b"0")
        request.refused = self._app.refuse(request)
        if request.refused is not None:
            if length != b"0" or b"transfer-encoding" in request.headers:
                self._end(request)
        elif int(length) > self._app.max_body_bytes:
            self._refuse(too_large(self._app.max_body_bytes))
        elif request.headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(_CONTINUE)

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._n_bytes += len(piece)
        self._n_pending = 0
        if self._has_ended:
            return
        if self._n_bytes > self._app.max_body_bytes:
            self._refuse(too_large(self._app.max_body_bytes))
        else:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Answer it, after those before it."""
        self._parser_is_in_body, self._n_pending = False, 0
        if self._has_body_left():
            return
        request, self._request = self._request, None
        if self._has_ended or request is None:
            return
        pieces = self._pieces
        request.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        request.complete = perf_counter()
        self._waiting.append((request, self._parser.should_keep_alive()))
        if not self._is_answering:
            self._answer_next()
        elif len(self._waiting) > _MOST_WAITING:
            self._transport.pause_reading()

    def _has_body_left(self) -> bool:
        if self._request is None or not self._parser.should_upgrade():
            return False
        headers = self._request.headers
        return self._parser.get_method() != b"CONNECT" and (
            b"transfer-encoding" in headers
            or headers.get(b"content-length", b"0") != b"0"
        )

    # -- answers

    def _answer_next(self) -> None:
        """Answer what waits, until an answer is awaited."""
        self._is_answering = True
        while self._waiting and not self._transport.is_closing():
            request, is_kept = self._waiting.popleft()
            if not self._answer(request, is_kept=is_kept):
                return
        self._is_answering = False
        if self._has_ended:
            self._end_answers()
        elif not self._transport.is_closing():
            if self._request is None:
                self._kept.answered(self._slot)
            self._transport.resume_reading()

    def _answer(self, request: Request, *, is_kept: bool) -> bool:
        """Have a request answered; return whether it has been already."""
        is_answered = is_awaited = False

        def reply(response: Response) -> None:
            nonlocal is_answered
            if not is_answered:
                is_answered = True
                self._write(request, response, is_kept=is_kept)
                if is_awaited:
                    self._answer_next()

        if request.refused:
            reply(request.refused)
        else:
            try:
                self._app.handle(request, reply)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is answered
                _log.error("request %s", request.request_id, exc_info=error)
                reply(self._app.failure(_failure(request, error), request))
        is_awaited = True
        return is_answered

    def _write(self, request: Request, response: Response, *, is_kept: bool) -> None:
        if self._transport.is_closing():
            return
        is_last = not is_kept or self._is_draining
        lines = [
            b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n"
            % (
                response.status,
                _REASONS[response.status],
                response.content_type,
                len(response.body),
            ),
            _date(),
            self._app.headers(request, response),
        ]
        for name, value in response.headers.items():
            lines.append(f"{name}: {value}\r\n".encode("latin-1"))
        lines.append(b"connection: close\r\n\r\n" if is_last else b"\r\n")
        if request.method != "HEAD":
            lines.append(response.body)
        self._transport.write(b"".join(lines))
        self.active_at = time.monotonic()
        if is_last:
            self._has_ended = True
            self._waiting.clear()

    def _end_answers(self) -> None:
        """Close it; what was not read would take the answer back, so not at once."""
        if self._request is not None and not self._is_lingering:
            self._is_lingering = True
            self._transport.write_eof()
        else:
            self._transport.close()

    def _refuse(self, error: NbmlopsError) -> None:
        """Refuse the request that is being read."""
        if not self._has_ended:
            request = self._request or Request()
            request.refused = self._app.failure(error, request)
            self._end(request)

    def _end(self, request: Request) -> None:
        """Answer a refused request last: what is left of its body is no other one."""
        self._has_ended = True
        self._request = request
        self._waiting.append((request, False))
        if not self._is_answering:
            self._answer_next()

    # -- the server's

    def drain(self, *, closes_idle: bool) -> None:
        """Close with the next answer, or at once where nothing is asked."""
        self._is_draining = True
        if closes_idle and self._request is None and not self._is_answering:
            self._transport.close()

    def sweep(self, now: float) -> None:
        """Close a connection whose client is too slow, or has gone."""
        idle_s = now - self.active_at
        if self._transport.get_write_buffer_size() and idle_s > _REQUEST_S:
            self._transport.abort()
        elif self._is_lingering:
            if idle_s > _LINGER_S:
                self._transport.abort()
        elif self._is_answering:
            self.active_at = now
        elif self._request is not None and idle_s > _REQUEST_S:
            problem = f"The request did not arrive within {_REQUEST_S:.0f} s."
            self._refuse(refusal(problem, fix="Send it whole.", status=408))
        elif idle_s > _IDLE_S:
            self._transport.close()


def _failure(request: Request, error: Exception) -> NbmlopsError:
    if isinstance(error, NbmlopsError):
        return error
    failure = DeployError(
        f"Request {request.request_id} failed.",
        fix="Look for that id in the endpoint's log.",
    )
    failure.status = 500
    return failure


_dated: tuple[int, bytes] = (0, b"")


def _date() -> bytes:
    global _dated
    second = int(time.time())
    if _dated[0] != second:
        _dated = second, f"date: {formatdate(second, usegmt=True)}\r\n".encode()
    return _dated[1]
