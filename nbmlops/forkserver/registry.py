"""The fork servers that live: listed, stopped, and kept to a few."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbmlops.errors import UsageError
from nbmlops.forkserver.runtime_dir import ForkUnavailable, ask, connect, home_of

MOST = 4
"""Fork servers that live at once; those that have runs stay, however many they are."""
_FORGOTTEN_S = 86_400.0
_REPLY_S = 0.5  # one that imports does not reply


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkServerState:
    """What `nbmlops warm status` says of a server."""

    pid: int
    state: str
    python: str
    started_at: datetime
    n_runs: int
    n_running: int
    modules: tuple[str, ...]
    idle_s: float = 0.0


def list_servers() -> tuple[ForkServerState, ...]:
    """Return the fork servers of this user that live here."""
    found = filter(None, map(_state_of, _folders()))
    return tuple(sorted(found, key=lambda server: server.started_at))


def _folders() -> tuple[Path, ...]:
    try:
        home = home_of(os.environ)
        return tuple(sorted(each for each in home.iterdir() if each.is_dir()))
    except (ForkUnavailable, OSError) as error:
        raise UsageError(
            f"The folder of warm processes cannot be used: {error}.",
            fix="Remove what is there, or set XDG_RUNTIME_DIR to a folder of yours.",
        ) from error


def _state_of(folder: Path) -> ForkServerState | None:
    """Return what a server says of itself; None where there is none."""
    reply: dict[str, Any] = {}
    try:
        with connect(folder, _REPLY_S) as control:
            started_at = (folder / "socket").stat().st_mtime
            credentials = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            with suppress(TimeoutError):
                ask(control, {"type": "status"})
                reply = json.loads(control.recv(1 << 20) or b"null")
    except OSError:
        return None
    if reply is None:  # it left before it had read this
        return None
    return ForkServerState(
        pid=struct.unpack("3i", credentials)[0],
        state="ready" if reply else "importing",
        python=reply.get("python", sys.executable),
        started_at=datetime.fromtimestamp(started_at, UTC),
        n_runs=reply.get("n_runs", 0),
        n_running=reply.get("n_running", 0),
        modules=tuple(reply.get("modules", ())),
        idle_s=reply.get("idle_s", 0.0),
    )


def stop_servers() -> tuple[ForkServerState, ...]:
    """Have every server leave when what it runs has ended."""
    found = list_servers()
    for folder in _folders():
        _stop(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return found


def _stop(folder: Path) -> None:
    """Return when the server of a folder takes no more requests."""
    with suppress(OSError), connect(folder) as control:
        ask(control, {"type": "stop"})
        control.recv(1)


def make_room(home: Path, coming: Path, *, most: int = MOST) -> None:
    """Have the servers leave that were used the longest ago, before another starts.

    One that runs something stays. Of those that went a day ago the folder is removed.
    """
    others = [each for each in home.iterdir() if each.is_dir() and each != coming]
    states = {each: state for each in others if (state := _state_of(each))}
    idle = [each for each, state in states.items() if state.idle_s]
    idle.sort(key=lambda each: -states[each].idle_s)
    for folder in idle[: max(0, len(states) + 1 - most)]:
        _stop(folder)
    for folder in others:
        with suppress(OSError):
            is_old = time.time() - folder.stat().st_mtime > _FORGOTTEN_S
            if is_old and folder not in states:
                shutil.rmtree(folder, ignore_errors=True)
