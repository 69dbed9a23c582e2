"""The pipes between a client and its run, with the client's ends of them."""

from __future__ import annotations

import codecs
import json
import os
import select
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

_READ = ("stdout", "stderr", "out", "end")
_WRITTEN = ("life", "go")
_CHUNK = 1 << 20
Document = dict[str, Any]


def kill_group(pid: int | None) -> None:
    """Kill what is left of the group of a process that has died with its parent."""
    if pid is not None:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def set_up(
    folder: Path,
    wanted: Mapping[str, Any],
    modes: Mapping[str, int],
    fds: dict[str, int],
) -> None:
    """Make the folder of a fork, and open the client's ends of its pipes."""
    folder.mkdir(mode=0o700)
    (folder / "wanted.json").write_text(json.dumps(wanted))
    for name, mode in modes.items():
        os.mkfifo(folder / name, 0o600)
        fds[name] = os.open(folder / name, mode | os.O_NONBLOCK)


class Pipes:
    """The folder of a run and what goes through it; gone when it is closed."""

    def __init__(self, above: Path, wanted: Mapping[str, Any]) -> None:
        self.folder = above / uuid4().hex
        self._fds: dict[str, int] = {}
        self._rest = dict.fromkeys(_READ, b"")
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {name: decoder("replace") for name in _READ[:2]}
        self._unsent = b""
        self._poll = select.poll()
        self._open = set(_READ)
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        self._poll.register(self._woken, select.POLLIN)
        # Held for reading, too, the pipes that are written never break.
        modes = dict.fromkeys(_READ, os.O_RDONLY) | dict.fromkeys(_WRITTEN, os.O_RDWR)
        try:
            set_up(self.folder, wanted, modes, self._fds)
        except BaseException:
            self.close()
            raise
        for name in _READ:
            self._poll.register(self._fds[name], select.POLLIN)

    def close(self) -> None:
        """Let go of the run, which ends it, and remove the folder."""
        for fd in (*self._fds.values(), self._woken, self._waker):
            os.close(fd)
        self._fds.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wake(self) -> None:
        """Have `read` return, from another thread."""
        with suppress(OSError):
            os.write(self._waker, b"w")

    def send(self, document: Mapping[str, Any]) -> None:
        """Send the run a document; what does not fit into the pipe goes with `read`."""
        self._unsent += json.dumps(document).encode() + b"\n"
        self._send()

    def signal(self, word: bytes) -> None:
        """Have the parent interrupt (``i``) or kill (``k``) the run and its group."""
        os.write(self._fds["life"], word)

    def _send(self) -> None:
        with suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[os.write(self._fds["go"], self._unsent) :]
        go = self._fds["go"]
        if self._unsent:
            self._poll.register(go, select.POLLOUT)
        else:
            with suppress(KeyError):
                self._poll.unregister(go)

    def read(self, timeout_s: float) -> Iterator[Document]:
        """Yield what came, waiting for the first of it."""
        ready = dict(self._poll.poll(timeout_s * 1000))
        if self._woken in ready:
            with suppress(BlockingIOError):
                os.read(self._woken, 64)
        if self._unsent:
            self._send()
        for name in _READ:
            if self._fds[name] not in ready:
                continue
            if name == "end":  # of what it said before, nothing is to be lost
                for before in _READ[:3]:
                    yield from self._documents(before, select.POLLIN)
            yield from self._documents(name, ready[self._fds[name]])

    def said(self) -> Iterator[Document]:
        """Yield what has been written to the run's file descriptors by now."""
        for name in _READ[:2]:
            yield from self._documents(name, select.POLLIN)

    def _documents(self, name: str, events: int) -> Iterator[Document]:
        if name not in self._open:
            return
        data, is_over = self._drain(name)
        if name in self._decoders:
            text = self._decoders[name].decode(data)
            if text:
                yield {"type": "stream", "content": {"name": name, "text": text}}
        else:
            *lines, self._rest[name] = (self._rest[name] + data).split(b"\n")
            for line in lines:
                yield json.loads(line)
        if is_over and events & select.POLLHUP:
            self._poll.unregister(self._fds[name])
            self._open.discard(name)
            if name == "end":
                yield {"type": "orphaned"}

    def _drain(self, name: str) -> tuple[bytes, bool]:
        pieces = []
        with suppress(BlockingIOError):
            while piece := os.read(self._fds[name], _CHUNK):
                pieces.append(piece)
            return b"".join(pieces), True
        return b"".join(pieces), False
