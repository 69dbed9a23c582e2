"""Ends, now and then, the runs whose kernel is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from nbmlops.config import load_settings
from nbmlops.errors import NbmlopsError
from nbmlops.lifecycle import recovery_process
from nbmlops.processes import start_process
from nbmlops.tracking.sync.recovery import find_dead

_PERIOD_S = 20.0
_LONGEST_WAIT_S = 3600.0


class Reaper:
    """A thread that looks for dead runs in the projects the server knows.

    Looking reads a folder and the process table; MLflow is asked by a process of its
    own, and only when a run's process is gone.
    """

    def __init__(self, projects: Callable[[], Iterable[Path]]) -> None:
        self._projects = projects
        self._tried: dict[Path, tuple[frozenset[str], float, float]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="nbmlops reaper", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the looking."""
        self._stopping.set()

    def _is_due(self, project: Path, dead: frozenset[str]) -> bool:
        """Return whether to end these runs now: less and less often while it fails."""
        before, wait_s, due_at = self._tried.get(project, (frozenset(), 0.0, 0.0))
        if dead != before:
            wait_s = due_at = 0.0
        is_due = bool(dead) and time.monotonic() >= due_at
        if is_due:
            wait_s = min(max(_PERIOD_S, 2 * wait_s), _LONGEST_WAIT_S)
            due_at = time.monotonic() + wait_s
        self._tried[project] = (dead, wait_s, due_at)
        return is_due

    def _work(self) -> None:
        while not self._stopping.is_set():
            for project in set(self._projects()):
                try:
                    settings = load_settings(project)
                    dead = frozenset(reader.key for reader in find_dead(settings))
                    if self._is_due(project, dead):
                        start_process(recovery_process, settings.project)
                except (NbmlopsError, OSError):
                    continue  # shown where the project is opened
            self._stopping.wait(_PERIOD_S)
