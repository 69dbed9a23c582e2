"""A process forked by a fork server, and the pipes to it."""

from __future__ import annotations

import codecs
import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from nbmlops.forkserver.fork_server import ForkServer
from nbmlops.forkserver.process_state import process_state
from nbmlops.forkserver.runtime_dir import START_S, ForkUnavailable, is_alive

_IDLE_S = 600.0
_ATTEMPTS = 5
_POLL_S = 0.2
_CHUNK = 1 << 20
_SIGNALS = {signal.SIGINT: b"i", signal.SIGTERM: b"t", signal.SIGKILL: b"k"}
_WIDTHS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
Document = dict[str, Any]


class Fork:
    """A forked process in a session of its own, killed with its group when closed.

    Its folder has a named pipe for each stream: ``go`` to it, ``out`` and those of its
    file descriptors from it, ``life`` and ``end`` to and from its fork server.
    """

    def __init__(
        self, folder: Path, wanted: Mapping[str, Any], texts: Sequence[str] = ()
    ) -> None:
        self._folder = folder
        self._fds: dict[str, int] = {}
        self._read = (*texts, "out", "end")
        self._rest = dict.fromkeys(self._read, b"")
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {name: decoder("replace") for name in texts}
        self._unsent = b""
        self._group: int | None = None
        self.log: IO[bytes] = io.BytesIO()
        self._poll = select.poll()
        self._fds["woken"], self._fds["waker"] = os.pipe()
        os.set_blocking(self._fds["woken"], False)
        self._poll.register(self._fds["woken"], select.POLLIN)
        try:
            folder.mkdir(mode=0o700)
            (folder / "wanted.json").write_text(json.dumps(wanted))
            self.log = (folder / "log").open("w+b")
            # Held for reading, too, the pipes that are written never break.
            modes = dict.fromkeys(self._read, os.O_RDONLY) | dict.fromkeys(
                ("life", "go"), os.O_RDWR
            )
            for name, mode in modes.items():
                os.mkfifo(folder / name, 0o600)
                self._fds[name] = os.open(folder / name, mode | os.O_NONBLOCK)
        except BaseException:
            self.discard()
            raise
        for name in self._read:
            self._poll.register(self._fds[name], select.POLLIN)

    def connect(
        self, server: ForkServer, state: Mapping[str, Any], check: Callable[[], object]
    ) -> Document | str:
        """Wait until it is ready; return its first word, or why to ask again.

        What `process_state` returned is in no file: it has secrets.
        """
        server.ask(self._folder)
        while True:
            check()
            for document in self.read(_POLL_S):
                match document["type"]:
                    case "accepted":
                        self.send(state)
                    case "ready":
                        return document
                    case "again":
                        return str(document["why"])
                    case "refused":
                        raise ForkUnavailable(str(document["why"]))
                    case "ended" if document["code"] is None:
                        return "its fork server died"
                    case "ended":
                        self.log.seek(0)
                        log = self.log.read().decode(errors="replace")
                        raise ForkUnavailable(f"it died at its start: {log[-500:]}")
            if not is_alive(server.folder):
                return "its fork server died"

    def close(self) -> None:
        """Let go of the process, which ends it, and remove the folder."""
        while self._fds:
            os.close(self._fds.popitem()[1])
        shutil.rmtree(self._folder, ignore_errors=True)

    def discard(self) -> None:
        """Close one that is not to be used."""
        self.close()
        self.log.close()

    def take(self, name: str, mode: str) -> IO[bytes]:
        """Return a pipe as a file, which breaks when the process ends."""
        fd = self._fds.pop(name)
        if name in self._read:
            self._forget(name, fd)
            os.set_blocking(fd, True)
            return os.fdopen(fd, mode)
        written = os.open(self._folder / name, os.O_WRONLY)
        os.close(fd)
        return os.fdopen(written, mode)

    def wake(self) -> None:
        """Have `read` return, from another thread."""
        with suppress(OSError, KeyError):
            os.write(self._fds["waker"], b"w")

    def send(self, document: Mapping[str, Any]) -> None:
        """Send a document; what does not fit into the pipe goes with `read`."""
        self._unsent += json.dumps(document).encode() + b"\n"
        self._send()

    def send_signal(self, number: int) -> None:
        """Send it SIGTERM; or SIGINT or SIGKILL, and its group, too."""
        os.write(self._fds["life"], _SIGNALS[signal.Signals(number)])

    def _send(self) -> None:
        go = self._fds["go"]
        with suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[os.write(go, self._unsent) :]
        if self._unsent:
            self._poll.register(go, select.POLLOUT)
        else:
            with suppress(KeyError):
                self._poll.unregister(go)

    def read(self, timeout_s: float) -> Iterator[Document]:
        """Yield what came, waiting for the first of it."""
        ready = dict(self._poll.poll(timeout_s * 1000))
        if self._fds["woken"] in ready:
            with suppress(BlockingIOError):
                os.read(self._fds["woken"], 64)
        if self._unsent:
            self._send()
        for name in self._read:
            if (fd := self._fds.get(name)) not in ready:
                continue
            if name == "end":  # of what it said before, nothing is to be lost
                for before in self._read[:-1]:
                    yield from self._documents(before, select.POLLIN)
            yield from self._documents(name, ready[fd])

    def read_texts(self) -> Iterator[Document]:
        """Yield what has been written to its file descriptors by now."""
        for name in self._decoders:
            yield from self._documents(name, select.POLLIN)

    def _documents(self, name: str, events: int) -> Iterator[Document]:
        fd = self._fds.get(name)
        if fd is None or name not in self._rest:
            return
        data, is_over = _drain(fd)
        if name in self._decoders:
            text = self._decoders[name].decode(data)
            if text:
                yield {"type": "stream", "content": {"name": name, "text": text}}
        else:
            *lines, self._rest[name] = (self._rest[name] + data).split(b"\n")
            for line in lines:
                document = json.loads(line)
                self._group = document.get("pid", self._group)
                yield document
        if is_over and events & select.POLLHUP:
            self._forget(name, fd)
            if name == "end":  # its fork server is gone, and it with that
                if self._group is not None:
                    with suppress(ProcessLookupError):
                        os.killpg(self._group, signal.SIGKILL)
                yield {"type": "ended", "code": None}

    def _forget(self, name: str, fd: int) -> None:
        self._poll.unregister(fd)
        del self._rest[name]


def _drain(fd: int) -> tuple[bytes, bool]:
    """Return what a pipe holds, and whether that was its end."""
    pieces = []
    with suppress(BlockingIOError):
        while piece := os.read(fd, _CHUNK):
            pieces.append(piece)
        return b"".join(pieces), True
    return b"".join(pieces), False


class ForkedProcess:
    """What `subprocess.Popen` is to a process it started, to one that was forked."""

    def __init__(self, fork: Fork) -> None:
        self.returncode: int | None = None
        self._fork = fork
        self.log = fork.log
        self.stdin, self.stdout = fork.take("go", "wb"), fork.take("out", "rb")
        self.send_signal = fork.send_signal

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it and its group."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code when it has ended, as `subprocess.Popen.wait` does."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = _POLL_S if until is None else until - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
            for document in self._fork.read(min(left, _POLL_S)):
                if document["type"] == "ended" and self.returncode is None:
                    code = document["code"]
                    self.returncode = -signal.SIGKILL if code is None else code
        self._fork.close()
        return self.returncode


def start_fork(
    env: Mapping[str, str],
    wanted: Mapping[str, Any],
    *,
    module: str = "",
    idle_s: float = _IDLE_S,
    texts: Sequence[str] = (),
    check: Callable[[], object],
) -> tuple[Fork, Document]:
    """Return a process that is ready, and what it says of itself.

    While it is waited for, ``check`` is called, and may raise.
    """
    ready: Document | str = ""
    try:
        server = ForkServer(env, idle_s=idle_s, module=module)
        for _ in range(_ATTEMPTS):
            fork = Fork(server.runs() / uuid4().hex, wanted, texts)
            try:
                state = process_state(env, wanted["folder"])
                ready = fork.connect(server, state, check)
                if isinstance(ready, dict):
                    return fork, ready
            except BaseException:
                fork.discard()
                raise
            fork.discard()
    except OSError as error:
        raise ForkUnavailable(f"its fork server cannot be reached: {error}") from error
    raise ForkUnavailable(f"its fork server took no run: {ready}")


def prestart(module: str, env: Mapping[str, str]) -> None:
    """Have the fork server of a module's processes begin, without waiting for it."""
    if sys.platform == "linux":
        with suppress(OSError, ForkUnavailable):
            ForkServer(env, idle_s=_IDLE_S, module=module).begin()


def fork(
    module: str, env: Mapping[str, str], folder: str | None = None
) -> ForkedProcess:
    """Return a process that runs a module, as ``python -P -m`` does."""
    if sys.platform != "linux":
        raise ForkUnavailable("processes are forked on Linux only")
    width = next((env[n] for n in _WIDTHS if env.get(n, "").isdigit()), "")
    wanted = {
        "folder": folder or os.getcwd(),  # noqa: PTH109 - a text
        "modules": [],
        "chosen": False,
        "blas": max(1, int(width or len(os.sched_getaffinity(0)))),
        "openmp": None,
    }
    until = time.monotonic() + START_S

    def check() -> None:
        if time.monotonic() > until:
            raise ForkUnavailable("its fork server does not answer")

    return ForkedProcess(start_fork(env, wanted, module=module, check=check)[0])
