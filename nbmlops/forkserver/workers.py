"""A process that runs a module, forked from a parent that has imported it."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast
from uuid import uuid4

from nbmlops.forkserver.channel import kill_group, set_up
from nbmlops.forkserver.fork_server import ForkServer
from nbmlops.forkserver.process_state import surroundings
from nbmlops.forkserver.runtime_dir import START_S, ForkUnavailable, is_alive
from nbmlops.forkserver.waiting import readable

_IDLE_S = 600.0
_ATTEMPTS = 3
_TURN_S = 0.2
_MODES = {
    "go": os.O_RDWR,
    "out": os.O_RDONLY,
    "end": os.O_RDONLY,
    "life": os.O_RDWR,
}
_ASKED = {signal.SIGINT: b"i", signal.SIGTERM: b"t", signal.SIGKILL: b"k"}
_WIDTHS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


class Fork:
    """What `subprocess.Popen` is to a process it started, to one that was forked.

    It is in a session of its own, and killed with its group when this process goes.
    """

    stdin: IO[bytes] | None = None
    stdout: IO[bytes] | None = None

    def __init__(self, folder: Path, wanted: Mapping[str, Any]) -> None:
        self.returncode: int | None = None
        self._folder = folder
        self._said = b""
        self._group: int | None = None
        self._fds: dict[str, int] = {}
        try:
            set_up(folder, wanted, _MODES, self._fds)
            self.log = (folder / "words").open("w+b")
        except BaseException:
            self.close()
            raise

    def begin(self, parent: ForkServer) -> str:
        """Wait until it is there; return why another parent is to be asked, or ""."""
        parent.ask(self._folder)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            ready = readable([self._fds["out"], self._fds["end"]], _TURN_S)
            if self._fds["out"] in ready and os.read(self._fds["out"], 1):
                self._connect()
                return ""
            for word in self._heard():
                if word["type"] == "again":
                    return str(word["why"])
                if word["type"] == "refused":
                    raise ForkUnavailable(str(word["why"]))
                if word["type"] == "ended":
                    self.log.seek(0)
                    words = self.log.read().decode(errors="replace")
                    raise ForkUnavailable(f"it died at its start: {words[-500:]}")
            if not is_alive(parent.folder):
                return "its parent died"
        raise ForkUnavailable("its parent does not answer")

    def settle(self, given: Mapping[str, Any]) -> None:
        """Tell it what `surroundings` returned, which is in no file: it has secrets."""
        stdin, stdout = cast("IO[bytes]", self.stdin), cast("IO[bytes]", self.stdout)
        stdin.write(json.dumps(given).encode() + b"\n")
        stdin.flush()
        answer = stdout.read(1)
        if answer != b"!":
            said = (answer + stdout.readline()).decode().strip()
            raise ForkUnavailable(said or "it died at its start")

    def _connect(self) -> None:
        """Make files of the pipes, which break from now on when it ends."""
        go = os.open(self._folder / "go", os.O_WRONLY)
        os.close(self._fds.pop("go"))
        self.stdin = os.fdopen(go, "wb")
        out = self._fds.pop("out")
        os.set_blocking(out, True)
        self.stdout = os.fdopen(out, "rb")

    def send_signal(self, number: int) -> None:
        """Send it SIGTERM; or SIGINT or SIGKILL, and its group, too."""
        os.write(self._fds["life"], _ASKED[signal.Signals(number)])

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
            left = _TURN_S if until is None else until - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(str(self._folder), timeout or 0.0)
            if readable([self._fds["end"]], min(left, _TURN_S)):
                for word in self._heard():
                    self.returncode = word.get("code", self.returncode)
        self.close()
        return self.returncode

    def close(self) -> None:
        """Let go of it, which ends it."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def abandon(self) -> None:
        """Let go of one that is not to be used."""
        self.close()
        for file in (self.log, self.stdin, self.stdout):
            if file is not None:
                with suppress(OSError):  # what was not read goes with it
                    file.close()

    def _heard(self) -> Iterator[dict[str, Any]]:
        """Yield what the parent said of it; without a parent it is killed."""
        with suppress(BlockingIOError):
            piece = os.read(self._fds["end"], 1 << 16)
            is_orphan = not piece and self.returncode is None
            *lines, self._said = (self._said + piece).split(b"\n")
            for line in lines:
                word = json.loads(line)
                self._group = word.get("pid", self._group)
                yield word
            if is_orphan and _has_hung_up(self._fds["end"]):
                kill_group(self._group)
                yield {"type": "ended", "code": -9}


def _has_hung_up(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))


def expect(module: str, env: Mapping[str, str]) -> None:
    """Have the parent of a module's processes begin, without waiting for it."""
    if sys.platform == "linux":
        with suppress(OSError, ForkUnavailable):
            ForkServer(env, idle_s=_IDLE_S, module=module).begin()


def fork(module: str, env: Mapping[str, str], folder: str | None = None) -> Fork:
    """Return a process that runs a module, as ``python -P -m`` does."""
    if sys.platform != "linux":
        raise ForkUnavailable("processes are forked on Linux only")
    width = next((env[n] for n in _WIDTHS if env.get(n, "").isdigit()), "")
    wanted: dict[str, Any] = {
        "folder": folder or os.getcwd(),  # noqa: PTH109 - a text
        "modules": [],
        "chosen": False,
        "blas": max(1, int(width or len(os.sched_getaffinity(0)))),
        "openmp": None,
    }
    why = ""
    try:
        parent = ForkServer(env, idle_s=_IDLE_S, module=module)
        for _ in range(_ATTEMPTS):
            made = Fork(parent.runs() / uuid4().hex, wanted)
            try:
                why = made.begin(parent)
                if not why:
                    made.settle(surroundings(env, wanted["folder"]))
                    return made
            except BaseException:
                made.abandon()
                raise
            made.abandon()
    except OSError as error:
        raise ForkUnavailable(f"its parent cannot be reached: {error}") from error
    raise ForkUnavailable(f"its parent took no run: {why}")
