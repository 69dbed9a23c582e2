"""The folders of fork servers, each with the socket that its server listens on."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

START_S = 30.0
_BACKLOG = 128


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


def listen(folder: Path) -> socket.socket:
    """Return a socket that takes the requests of a folder from now on."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listener.bind(f"{_address(at)}.new")
        listener.listen(_BACKLOG)
        (folder / "socket.new").replace(folder / "socket")
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(at)
    return listener


def connect(folder: Path, timeout_s: float = START_S) -> socket.socket:
    """Return a connection to the server of a folder; an OSError where none listens."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.settimeout(timeout_s)
    at = -1
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        control.connect(_address(at))
    except BaseException:
        control.close()
        raise
    finally:
        if at >= 0:
            os.close(at)
    return control


def _address(folder: int) -> str:
    """Return the path of a folder's socket, which may have 107 bytes at most."""
    return f"/proc/self/fd/{folder}/socket"


def ask(
    control: socket.socket, request: Mapping[str, object], files: Sequence[int] = ()
) -> None:
    """Send a request to a fork server, with files that are its own from then on."""
    socket.send_fds(control, [json.dumps(request).encode()], files)
