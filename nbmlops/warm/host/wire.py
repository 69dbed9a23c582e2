"""What a run says: messages as a kernel sends them, one JSON document a line."""

from __future__ import annotations

import base64
import io
import json
import os
import threading
import time
from typing import Any

from jupyter_client.session import Session

_HELD_S = 0.1
_FULL = 4096


class Wire:
    """The end of the run's pipe; in the parent there is none, and nothing is said."""

    def __init__(self) -> None:
        self.fd: int | None = None
        self.pid = 0
        self._lock = threading.Lock()

    def open(self, path: str) -> None:
        """Write to the pipe at ``path``, as this process."""
        self.fd = os.open(path, os.O_WRONLY)
        self.pid = os.getpid()
        self._lock = threading.Lock()

    def send(self, document: dict[str, Any]) -> None:
        """Write a document, whole."""
        if self.fd is None or os.getpid() != self.pid:
            return  # a process that a cell forked: a kernel's are not heard either
        data = memoryview(json.dumps(document, default=str).encode() + b"\n")
        with self._lock:
            while data:
                data = data[os.write(self.fd, data) :]


class WireSession(Session):
    """A kernel's session whose messages go down the wire."""

    wire: Wire

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
        self.wire.send(document)
        return message


class OutStream(io.TextIOBase):
    """A kernel's ``sys.stdout`` or ``sys.stderr``: text becomes messages.

    What is written by other means to the file descriptor below it arrives by a pipe of
    its own, and so does what a process says that a cell forked.
    """

    def __init__(self, wire: Wire, name: str, fd: int) -> None:
        super().__init__()
        self._wire = wire
        self._fd = fd
        self._sent_at = 0.0
        self.name = name
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    encoding = "UTF-8"
    errors = "strict"

    def _renew(self) -> None:
        """Begin anew in a fork."""
        self._lock = threading.Lock()
        self._text: list[str] = []
        self._flusher: threading.Thread | None = None

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
        if self._flusher is None or len(held) > _FULL:
            self._send_or_hold()
        return len(text)

    def _send_or_hold(self) -> None:
        """Have what is said last before a long silence be seen, too."""
        is_late = time.monotonic() - self._sent_at > _HELD_S
        if is_late or len(self._text) > _FULL or os.getpid() != self._wire.pid:
            self.flush()
            return
        with self._lock:
            if self._flusher is None:
                self._flusher = threading.Thread(
                    target=self._flush_later, name="nbmlops-stream", daemon=True
                )
                self._flusher.start()

    def flush(self) -> None:
        """Send what is held back."""
        with self._lock:
            n = len(self._text)  # more may be added meanwhile, without the lock
            text = "".join(self._text[:n])
            del self._text[:n]
            self._sent_at = time.monotonic()
            if not text:
                return
            if os.getpid() == self._wire.pid:
                content = {"name": self.name, "text": text}
                self._wire.send({"type": "stream", "content": content})
            else:
                os.write(self._fd, text.encode(errors="surrogateescape"))

    def _flush_later(self) -> None:
        while True:
            time.sleep(_HELD_S)
            self.flush()
            self._flusher = None
            if not self._text:
                return
            self._flusher = threading.current_thread()
