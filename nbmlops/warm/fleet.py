"""The parents that live: listed, stopped, and kept to a few."""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nbmlops.warm.homes import POLL_S, START_S, folders, is_alive, locked, say

MOST = 4
"""Parents that live at once; those that have runs stay, however many they are."""
_FORGOTTEN_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentState:
    """What `nbmlops warm status` says of a parent.

    Attributes
    ----------
    pid : int
        Its process id.
    state : str
        ``starting``, ``ready`` or ``leaving``.
    python : str
        Its interpreter.
    started_at : datetime
        When, UTC.
    n_runs : int
        Runs it has forked.
    n_running : int
        Those that go on.
    modules : tuple of str
        Packages it has imported.
    """

    pid: int
    state: str
    python: str
    started_at: datetime
    n_runs: int
    n_running: int
    modules: tuple[str, ...]


def list_parents() -> tuple[ParentState, ...]:
    """Return the parents of this user that live here.

    Returns
    -------
    tuple of ParentState
        The oldest first.
    """
    found = []
    for folder in folders():
        if not is_alive(folder):
            continue
        wanted = json.loads((folder / "wanted.json").read_text())
        about: dict[str, Any] = {
            "pid": 0,
            "state": "starting",
            "python": sys.executable,
            "n_runs": 0,
            "n_running": 0,
            "modules": (),
        }
        with suppress(OSError, ValueError):
            about |= json.loads((folder / "about.json").read_text())
        about["started_at"] = datetime.fromisoformat(wanted["started_at"])
        found.append(ParentState(**about | {"modules": tuple(about["modules"])}))
    return tuple(sorted(found, key=lambda parent: parent.started_at))


def stop_parents() -> tuple[ParentState, ...]:
    """Have every parent leave when what it runs has ended.

    Returns
    -------
    tuple of ParentState
        Those that were told to.
    """
    told = list_parents()
    until = time.monotonic() + START_S
    for folder in folders():
        while is_alive(folder) and time.monotonic() < until:
            say(folder, b"stop\n")
            time.sleep(POLL_S)
        if not is_alive(folder):
            _forget(folder)
    return told


def _forget(folder: Path) -> None:
    """Remove the folder of a parent that has gone, unless one of its runs goes on."""
    with suppress(OSError):
        runs = folder / "runs"
        if not runs.exists() or not any(runs.iterdir()):
            shutil.rmtree(folder)


def make_room(home: Path, coming: Path, *, most: int = MOST) -> None:
    """Have the parents leave that were used the longest ago, before another starts.

    One that runs something stays. Of those that went a day ago the folder is removed.

    Parameters
    ----------
    home : Path
        The user's folder of parents.
    coming : Path
        The folder of the one that is about to start.
    most : int, default=4
        Parents that may live then, at least 1.
    """
    with locked(home / "room.lock"):
        others = [each for each in home.iterdir() if each.is_dir() and each != coming]
        alive = [each for each in others if is_alive(each)]
        idle = sorted((at, each) for each in alive if (at := _idle_since(each)))
        for _, folder in idle[: max(0, len(alive) + 1 - most)]:
            say(folder, b"stop\n")
        for folder in set(others) - set(alive):
            if time.time() - folder.stat().st_mtime > _FORGOTTEN_S:
                _forget(folder)


def _idle_since(folder: Path) -> float:
    """Return when a parent had its last run; 0 while it has one, or starts."""
    try:
        about = json.loads((folder / "about.json").read_text())
        changed_at = (folder / "about.json").stat().st_mtime
    except (OSError, ValueError):
        return 0.0
    is_idle = about["state"] == "ready" and not about["n_running"]
    return changed_at if is_idle else 0.0
