"""The folder of a fork server: its owner, its lock, requests to it."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START_S = 30.0
POLL_S = 0.005
_CONTROL_BYTES = 512  # below PIPE_BUF: requests of several clients do not mix


class ForkUnavailable(Exception):  # noqa: N818 - a cold kernel will do
    """There is no fork; the text says why, for the log."""


def home_of(environ: Mapping[str, str]) -> Path:
    """Return the user's folder of fork servers, which nobody else can write to."""
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return make_private(Path(runtime, "nbmlops", "warm"))
    return make_private(Path(tempfile.gettempdir(), f"nbmlops-{os.getuid()}", "warm"))


def make_private(folder: Path) -> Path:
    """Return a folder of this user alone, made where it is missing."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    for each in (folder, folder.parent):
        found = each.lstat()
        is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not is_ours or found.st_mode & 0o022:
            raise ForkUnavailable(f"{each} is not a folder that only you can write to")
    return folder


def is_alive(folder: Path) -> bool:
    """Return whether a fork server holds the lock of a folder."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def send_request(folder: Path, line: bytes) -> bool:
    """Write a line to a fork server, where one listens."""
    assert len(line) < _CONTROL_BYTES  # noqa: S101
    try:
        control = os.open(folder / "control", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.write(control, line) == len(line)
    except (BlockingIOError, BrokenPipeError):
        return False
    finally:
        os.close(control)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def folders() -> tuple[Path, ...]:
    """Return the folders of this user's fork servers, also of those that ended."""
    home = home_of(os.environ)
    return tuple(sorted(each for each in home.iterdir() if each.is_dir()))
