"""Documents between processes of one user: a JSON line each, files along with it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

Document = dict[str, Any]
_CHUNK = 1 << 16
_MOST_FILES = 8


class Channel:
    """One end of a Unix stream socket; for threads that wait."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._rest = b""
        self._files: list[int] = []
        self._documents: list[Document] = []

    def send(self, document: Mapping[str, Any], files: Sequence[int] = ()) -> None:
        """Send a document, and files that the other end owns from then on."""
        data = json.dumps(document).encode() + b"\n"
        sent = socket.send_fds(self._socket, [data], files) if files else 0
        self._socket.sendall(data[sent:])

    def receive(self, timeout_s: float | None = None) -> Document:
        """Return the next document; EOFError when the other end is closed."""
        self._socket.settimeout(timeout_s)
        while not self._documents:
            self._read()
        return self._documents.pop(0)

    def take_files(self) -> list[int]:
        """Return the files that came with what was received."""
        files, self._files = self._files, []
        return files

    def _read(self) -> None:
        data, files, _, _ = socket.recv_fds(self._socket, _CHUNK, _MOST_FILES)
        self._files += files
        if not data:
            raise EOFError
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._documents += map(json.loads, lines)

    def close(self) -> None:
        """Close this end."""
        for fd in self.take_files():
            os.close(fd)
        self._socket.close()


class AsyncChannel(Channel):
    """One end of a Unix stream socket; for an event loop."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        connection.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Document | None] = asyncio.Queue()
        self._fd = connection.fileno()
        self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            self._read()
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, EOFError, ValueError):
            self._loop.remove_reader(self._fd)
            self._queue.put_nowait(None)
            return
        while self._documents:
            self._queue.put_nowait(self._documents.pop(0))

    async def next(self) -> Document | None:
        """Return the next document; None when the other end is closed."""
        return await self._queue.get()

    def tell(self, document: Mapping[str, Any], files: Sequence[int] = ()) -> None:
        """Send a document; one that the other end does not take is lost with it."""
        with suppress(OSError):
            self.send(document, files)

    def close(self) -> None:
        """Close this end."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._fd = -1
        super().close()
