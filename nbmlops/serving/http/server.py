"""The server of a listening socket."""

from __future__ import annotations

import asyncio
import socket
import time

from nbmlops.serving.connections import Connections
from nbmlops.serving.http.connection import HttpConnection
from nbmlops.serving.http.messages import App

_SWEEP_S = 1.0


class HttpServer:
    """Accepts on a socket that others may share, until it is drained."""

    def __init__(
        self, app: App, listener: socket.socket, kept: Connections | None = None
    ) -> None:
        self._app = app
        self._kept = kept or Connections()
        self._listener = listener
        self._listener.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self.connections: set[HttpConnection] = set()
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
        self._is_accepting = False

    def accept(self) -> None:
        """Take connections from now on."""
        if not self._is_accepting:
            self._is_accepting = True
            self._loop.add_reader(self._listener.fileno(), self._accept_one)
        while self._kept.kept:
            slot, connection, data = self._kept.take_kept()
            self._connect(connection, slot, data)

    def _accept_one(self) -> None:
        # One a turn: the others that share the socket take theirs.
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:  # no file descriptors are left; it is asked again
            self._loop.remove_reader(self._listener.fileno())
            self._is_accepting = False
            self._loop.call_later(0.1, self.accept)
            return
        self._connect(accepted, self._kept.opened(accepted))

    def _connect(self, connection: socket.socket, slot: int, data: bytes = b"") -> None:
        def protocol() -> HttpConnection:
            return HttpConnection(self._app, self.connections, self._kept, slot, data)

        self._loop.create_task(self._loop.connect_accepted_socket(protocol, connection))

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in tuple(self.connections):
            connection.sweep(now)
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def stop_accepting(self) -> None:
        """Leave new connections to others."""
        if self._is_accepting:
            self._is_accepting = False
            self._loop.remove_reader(self._listener.fileno())

    async def drain(self, patience_s: float, *, closes_idle: bool = False) -> None:
        """Take no more connections; return when those there are have ended.

        One that waits for its next request gets that one answered, unless idle ones are
        closed.
        """
        self.stop_accepting()
        for connection in tuple(self.connections):
            connection.drain(closes_idle=closes_idle)
        until = time.monotonic() + patience_s
        while self.connections and time.monotonic() < until:
            await asyncio.sleep(0.02)
        for connection in tuple(self.connections):
            connection.drain(closes_idle=True)
        await asyncio.sleep(0)
        self._sweeper.cancel()
