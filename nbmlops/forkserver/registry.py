"""The fork servers that live: listed, stopped, and kept to a few."""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbmlops.errors import UsageError
from nbmlops.forkserver.runtime_dir import (
    POLL_S,
    START_S,
    ForkUnavailable,
    folders,
    is_alive,
    locked,
    send_request,
)

MOST = 4
"""Fork servers that live at once; those that have runs stay, however many they are."""
_FORGOTTEN_S = 86_400.0


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


def list_servers() -> tuple[ForkServerState, ...]:
    """Return the fork servers of this user that live here."""
    found = [_state_of(folder) for folder in _folders() if is_alive(folder)]
    return tuple(sorted(found, key=lambda server: server.started_at.timestamp()))


def _folders() -> tuple[Path, ...]:
    try:
        return folders()
    except (ForkUnavailable, OSError) as error:
        raise UsageError(
            f"The folder of warm processes cannot be used: {error}.",
            fix="Remove what is there, or set XDG_RUNTIME_DIR to a folder of yours.",
        ) from error


def _state_of(folder: Path) -> ForkServerState:
    """Return what a server that lives says of itself, as far as it has said it."""
    wanted, about = _read(folder / "wanted.json"), _read(folder / "about.json")
    try:
        started_at = datetime.fromisoformat(str(wanted.get("started_at")))
    except ValueError:
        started_at = datetime.now(UTC)  # its folder is being made, or removed
    return ForkServerState(
        pid=int(about.get("pid", 0)),
        state=str(about.get("state", "starting")),
        python=str(about.get("python", sys.executable)),
        started_at=started_at,
        n_runs=int(about.get("n_runs", 0)),
        n_running=int(about.get("n_running", 0)),
        modules=tuple(map(str, about.get("modules", ()))),
    )


def _read(path: Path) -> dict[str, Any]:
    """Return what a server has written; nothing while it is not whole."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def stop_servers() -> tuple[ForkServerState, ...]:
    """Have every server leave when what it runs has ended."""
    found = list_servers()
    until = time.monotonic() + START_S
    for folder in _folders():
        while is_alive(folder) and time.monotonic() < until:
            send_request(folder, b"stop\n")
            time.sleep(POLL_S)
        if not is_alive(folder):
            _forget(folder)
    return found


def _forget(folder: Path) -> None:
    """Remove the folder of a server that has gone, unless one of its runs goes on."""
    with suppress(OSError):
        runs = folder / "runs"
        if not runs.exists() or not any(runs.iterdir()):
            shutil.rmtree(folder)


def make_room(home: Path, coming: Path, *, most: int = MOST) -> None:
    """Have the servers leave that were used the longest ago, before another starts.

    One that runs something stays. Of those that went a day ago the folder is removed.
    """
    with locked(home / "room.lock"):
        others = [each for each in home.iterdir() if each.is_dir() and each != coming]
        alive = [each for each in others if is_alive(each)]
        idle = sorted((at, each) for each in alive if (at := _idle_since(each)))
        for _, folder in idle[: max(0, len(alive) + 1 - most)]:
            send_request(folder, b"stop\n")
        for folder in set(others) - set(alive):
            if time.time() - folder.stat().st_mtime > _FORGOTTEN_S:
                _forget(folder)


def _idle_since(folder: Path) -> float:
    """Return when a server had its last run; 0 while it has one, or starts."""
    about = _read(folder / "about.json")
    if about.get("state") != "ready" or about.get("n_running"):
        return 0.0
    with suppress(OSError):
        return (folder / "about.json").stat().st_mtime
    return 0.0
