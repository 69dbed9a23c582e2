"""What a run says: messages as a kernel sends them, one JSON document a line."""

from __future__ import annotations

import base64
import io
import json
import os
import threading
import time
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, cast

from jupyter_client.session import Session

_HELD_S = 0.1
_FULL = 4096
_PATIENCE_S = 10.0


class MessagePipe:
    """The end of the run's pipe; in the parent there is none, and nothing is said.

    A thread writes, as in a kernel: a signal handler that raises does so in the main
    thread, and would cut a document there.
    """

    def __init__(self) -> None:
        self.fd: int | None = None
        self.pid = 0
        self._waiting: SimpleQueue[bytes | threading.Event | OutStream | None]
        self._waiting = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        """Begin afresh in a fork."""
        self.lock, self.is_sending = threading.RLock(), False
        self._flushing: set[int] = set()

    def open(self, fd: int) -> None:
        """Write to a pipe, as this process."""
        self.fd = fd
        self.pid = os.getpid()
        self._waiting = SimpleQueue()
        self._writer = threading.Thread(
            target=self._write, name="nbmlops-messages", daemon=True
        )
        self._writer.start()

    def send(self, document: dict[str, Any]) -> None:
        """Have a document written, whole and after those before it."""
        if self.fd is None or os.getpid() != self.pid:
            return  # a process that a cell forked: a kernel's are not heard either
        self.put(encoded(document))

    def put(self, what: bytes | OutStream) -> None:
        """Have what `encoded` returned written, or soon what a stream holds.

        Nothing interrupts this.
        """
        self._waiting.put(what)

    def flush(self) -> None:
        """Wait until what was sent is written: what comes next may end the process."""
        me = threading.get_ident()
        if me in self._flushing:  # a signal's handler, while this thread waits
            return
        self._flushing.add(me)
        try:
            is_written = threading.Event()
            self._waiting.put(is_written)
            is_written.wait(_PATIENCE_S)
        finally:
            self._flushing.discard(me)

    def close(self) -> None:
        """Write what was sent, and no more."""
        self._waiting.put(None)
        if self._writer is not None:
            self._writer.join()

    def _write(self) -> None:
        self._flushing.add(threading.get_ident())  # which can wait for nobody
        holding: deque[tuple[float, OutStream]] = deque()
        while True:
            left_s = holding[0][0] - time.monotonic() if holding else None
            if left_s is not None and left_s <= 0:
                holding.popleft()[1].send_held()
                continue
            try:
                what = self._waiting.get(timeout=left_s)
            except Empty:
                continue
            match what:
                case None:
                    return
                case bytes():
                    self._write_whole(what)
                case OutStream():
                    holding.append((time.monotonic() + _HELD_S, what))
                case _:
                    what.set()

    def _write_whole(self, data: bytes) -> None:
        left = memoryview(data)
        with suppress(OSError):  # nobody reads any more
            while left:
                left = left[os.write(cast("int", self.fd), left) :]


def encoded(document: dict[str, Any]) -> bytes:
    """Return a document as a line."""
    return json.dumps(document, default=str).encode() + b"\n"


class PipeSession(Session):
    """A kernel's session whose messages go through a pipe."""

    pipe: MessagePipe

    def send(
        self,
        stream: Any,  # noqa: ANN401
        msg_or_type: Any,  # noqa: ANN401
        content: Any = None,  # noqa: ANN401
        parent: Any = None,  # noqa: ANN401
        ident: Any = None,  # noqa: ANN401
        buffers: Any = None,  # noqa: ANN401
        track: bool = False,
        header: Any = None,  # noqa: ANN401
        metadata: Any = None,  # noqa: ANN401
    ) -> dict[str, Any]:
        """Send a message, or what makes one, as `Session.send` does."""
        message: dict[str, Any] = msg_or_type
        if not isinstance(message, dict):
            message = self.msg(msg_or_type, content, parent, header, metadata)
        document = {
            "type": message["header"]["msg_type"],
            "content": message["content"],
        }
        if buffers:
            document["buffers"] = [base64.b64encode(b).decode() for b in buffers]
        self.pipe.send(document)
        return message


class OutStream(io.TextIOBase):
    """A kernel's ``sys.stdout`` or ``sys.stderr``: text becomes messages.

    What is written by other means to the file descriptor below it arrives by a pipe of
    its own, and so does what a process says that a cell forked.
    """

    def __init__(self, pipe: MessagePipe, name: str, fd: int) -> None:
        super().__init__()
        self._pipe = pipe
        self._fd = fd
        self._sent_at = 0.0
        self.name = name
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    encoding = "UTF-8"
    errors = "strict"

    def _renew(self) -> None:
        """Begin afresh in a fork."""
        self._text: list[str] = []
        self._is_held = False

    def fileno(self) -> int:
        """Return the file descriptor below, as a kernel's streams do."""
        return self._fd

    def isatty(self) -> bool:
        """Return that this is no terminal."""
        return False

    def writable(self) -> bool:
        """Return that this can be written to."""
        return True

    def write(self, text: str) -> int:
        """Write a text, which is sent now or a tenth of a second later."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text)}")
        held = self._text
        held.append(text)
        if not self._is_held or len(held) > _FULL:
            self._send_or_hold()
        return len(text)

    def _send_or_hold(self) -> None:
        is_late = time.monotonic() - self._sent_at > _HELD_S
        if is_late or len(self._text) > _FULL or os.getpid() != self._pipe.pid:
            self._send()
        else:
            self._hold()

    def _hold(self) -> None:
        """Have what is said last before a long silence be seen, too."""
        if not self._is_held and os.getpid() == self._pipe.pid:
            self._is_held = True  # a process that a cell forked has nobody to do so
            self._pipe.put(self)

    def send_held(self) -> None:
        """Send what is held back, in the pipe's thread."""
        self._is_held = False  # what is written from now on is held again
        self._send()

    def flush(self) -> None:
        """Send what is held back, and wait until it is on its way."""
        if self._send() and os.getpid() == self._pipe.pid:
            self._pipe.flush()

    def _send(self) -> bool:
        """Send what is held back; return whether there was any."""
        has_sent = False
        with self._pipe.lock:
            if self._pipe.is_sending:  # further up in this thread
                self._hold()
                return False
            self._pipe.is_sending = True
            try:
                for _ in range(2):  # again for what a handler printed meanwhile
                    if n := len(self._text):
                        has_sent = True
                        self._send_first(n)
                self._sent_at = time.monotonic()
            finally:
                self._pipe.is_sending = False
        return has_sent

    def _send_first(self, n: int) -> None:
        text = "".join(self._text[:n])
        is_ours = os.getpid() == self._pipe.pid
        if is_ours:
            content = {"name": self.name, "text": _readable(text)}
            data = encoded({"type": "stream", "content": content})
        try:
            if is_ours and text:
                self._pipe.put(data)
            elif text:
                os.write(self._fd, _bytes_of(text))
        finally:  # an interrupt comes before or after it
            del self._text[:n]


def _readable(text: str) -> str:
    """Return a text in which what is no Unicode is replaced."""
    if text.isascii():
        return text
    return _bytes_of(text).decode("utf-8", "replace")


def _bytes_of(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")
