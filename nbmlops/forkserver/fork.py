"""A process forked by a fork server, and the pipes to it."""

from __future__ import annotations

import codecs
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from nbmlops.forkserver.fork_server import ForkServer
from nbmlops.forkserver.runtime_dir import START_S, ForkUnavailable, ask

_IDLE_S = 600.0
_ATTEMPTS = 5
_POLL_S = 0.2
_CHUNK = 1 << 20
_WIDTHS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
_LIMITS = tuple(
    getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")
)
Document = dict[str, Any]


class Fork:
    """A forked process in a session of its own, killed with its group when closed.

    A pipe named ``go`` leads to it; ``out``, and one for each of its streams in
    ``texts``, lead from it. The connection to its fork server brings signals and its
    end.
    """

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self._fds: dict[str, int] = {}
        self._theirs: dict[str, int] = {}
        self._control: socket.socket | None = None
        self._selector = selectors.PollSelector()
        self._decoders = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in texts
        }
        self._read = (*texts, "out")
        self._rest = self._unsent = b""
        self._pid: int | None = None
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed last
        self._theirs["go"], self._fds["go"] = os.pipe()
        for name in self._read:
            self._fds[name], self._theirs[name] = os.pipe()
        self._fds["woken"] = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        for name, fd in self._fds.items():
            os.set_blocking(fd, False)
            if name != "go":
                self._selector.register(fd, selectors.EVENT_READ, name)

    def connect(
        self,
        server: ForkServer,
        wanted: Mapping[str, Any],
        state: Mapping[str, Any],
        check: Callable[[], object],
    ) -> Document | str:
        """Wait until it is ready; return its first word, or why to ask again."""
        self._control = server.connect()
        self._control.setblocking(False)
        self._selector.register(self._control, selectors.EVENT_READ, "control")
        names = ("go", "out", *self._decoders)
        files = [self.log.fileno(), *(self._theirs[name] for name in names)]
        try:
            ask(self._control, {"type": "run", **wanted}, files)
        except (BrokenPipeError, ConnectionResetError):
            self._close_control()
            return "its fork server left"
        while True:
            check()
            for document in self.read(_POLL_S):
                match document:
                    case {"type": "accepted"}:
                        for name in self._read:  # it ends when theirs are closed
                            os.close(self._theirs.pop(name))
                        self.send(state)
                    case {"type": "ready"}:
                        return document
                    case {"type": "again", "why": why}:
                        self._close_control()
                        return str(why)
                    case {"type": "refused", "why": why}:
                        raise ForkUnavailable(why)
                    case {"type": "ended", "code": None} if "out" in self._theirs:
                        return "its fork server left"
                    case {"type": "ended"}:
                        why = f"it died at its start: {self.last_words()}"
                        raise ForkUnavailable(why)

    def last_words(self) -> str:
        """Return the end of what it wrote to its log."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-500:]

    def close(self) -> None:
        """Let go of the process, which ends it; what is in its log stays."""
        self._close_control()
        self._selector.close()
        for fds in (self._fds, self._theirs):
            while fds:
                os.close(fds.popitem()[1])

    def _close_control(self) -> None:
        if self._control is not None:
            self._selector.unregister(self._control)
            self._control.close()
            self._control = None

    def take(self) -> tuple[IO[bytes], IO[bytes]]:
        """Return ``go`` and ``out`` as files, which break when the process ends."""
        if "out" not in self._fds:
            raise ForkUnavailable(f"it died at its start: {self.last_words()}")
        go, out = self._fds.pop("go"), self._fds.pop("out")
        self._selector.unregister(out)
        os.close(self._theirs.pop("go"))
        for fd in (go, out):
            os.set_blocking(fd, True)
        return os.fdopen(go, "wb"), os.fdopen(out, "rb")

    def wake(self) -> None:
        """Have `read` return, from another thread."""
        with suppress(OSError, KeyError):
            os.eventfd_write(self._fds["woken"], 1)

    def send(self, document: Mapping[str, Any]) -> None:
        """Send a document; what does not fit into the pipe goes with `read`."""
        self._unsent += json.dumps(document).encode() + b"\n"
        self._send()

    def send_signal(self, number: int) -> None:
        """Send it SIGTERM; or SIGINT or SIGKILL, and its group, too."""
        if self._control is not None:
            with suppress(OSError):  # its server is gone, and it with that
                ask(self._control, {"type": "signal", "number": int(number)})

    def _send(self) -> None:
        go = self._fds["go"]
        with suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[os.write(go, self._unsent) :]
        is_waiting = go in self._selector.get_map()
        if self._unsent and not is_waiting:
            self._selector.register(go, selectors.EVENT_WRITE, "go")
        elif is_waiting and not self._unsent:
            self._selector.unregister(go)

    def read(self, timeout_s: float) -> Iterator[Document]:
        """Yield what came, waiting for the first of it."""
        ready = {key.data for key, _ in self._selector.select(timeout_s)}
        if "woken" in ready:
            with suppress(BlockingIOError):
                os.eventfd_read(self._fds["woken"])
        if "go" in ready:
            self._send()
        for name in self._read:  # before its end: of what it said nothing is lost
            if name in ready or "control" in ready:
                yield from self._documents(name)
        if "control" in ready:
            yield from self._news()

    def read_texts(self) -> Iterator[Document]:
        """Yield what has been written to its file descriptors by now."""
        for name in self._decoders:
            yield from self._documents(name)

    def _documents(self, name: str) -> Iterator[Document]:
        fd = self._fds.get(name)
        if fd is None:
            return
        data, is_over = _drain(fd)
        if is_over:
            self._selector.unregister(fd)
            os.close(self._fds.pop(name))
        if name in self._decoders:
            if text := self._decoders[name].decode(data):
                yield {"type": "stream", "content": {"name": name, "text": text}}
        else:
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from map(json.loads, lines)

    def _news(self) -> Iterator[Document]:
        """Yield what its fork server says of it."""
        while self._control is not None:
            try:
                message = self._control.recv(_CHUNK)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            document: Document = {"type": "ended", "code": None}
            if message:
                document = json.loads(message)
                self._pid = document.get("pid")
            else:
                self._close_control()
                if self._pid is not None:
                    with suppress(ProcessLookupError):
                        os.killpg(self._pid, signal.SIGKILL)
            yield document


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
        self.stdin, self.stdout = fork.take()
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
        fork = Fork(texts)
        try:
            state = _process_state(env, wanted["folder"])
            for _ in range(_ATTEMPTS):
                ready = fork.connect(server, wanted, state, check)
                if isinstance(ready, dict):
                    return fork, ready
        except BaseException:
            fork.close()
            fork.log.close()
            raise
    except OSError as error:
        raise ForkUnavailable(f"its fork server cannot be reached: {error}") from error
    fork.close()
    fork.log.close()
    raise ForkUnavailable(f"its fork server took no run: {ready}")


def _process_state(env: Mapping[str, str], folder: str) -> dict[str, Any]:
    """Return what a process would have that this one starts; it has secrets."""
    umask = os.umask(0o077)
    os.umask(umask)
    return {
        "env": dict(env),
        "folder": folder,
        "umask": umask,
        "cpus": sorted(os.sched_getaffinity(0)),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "limits": [(kind, resource.getrlimit(kind)) for kind in _LIMITS],
    }


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

    forked = start_fork(env, wanted, module=module, check=check)[0]
    try:
        return ForkedProcess(forked)
    except ForkUnavailable:
        forked.close()
        raise
