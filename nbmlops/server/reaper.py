"""Ends, now and then, the runs whose kernel is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from nbmlops.config import load_settings
from nbmlops.errors import NbmlopsError
from nbmlops.processes import start_process
from nbmlops.tracking.reaper import find_dead

_PERIOD_S = 20.0


class Reaper:
    """A thread that looks for dead runs in the projects the server knows.

    Looking reads a folder and the process table; MLflow is asked by a process of its
    own, and only when a run's process is gone.

    Parameters
    ----------
    projects : callable
        Returns the projects' folders.
    """

    def __init__(self, projects: Callable[[], Iterable[Path]]) -> None:
        self._projects = projects
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="nbmlops reaper", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the looking."""
        self._stopping.set()

    def _work(self) -> None:
        while not self._stopping.is_set():
            for project in set(self._projects()):
                try:
                    settings = load_settings(project)
                    if find_dead(settings):
                        start_process(
                            "nbmlops.lifecycle.reaper_process", folder=settings.project
                        )
                except (NbmlopsError, OSError):
                    continue  # shown where the project is opened
            self._stopping.wait(_PERIOD_S)
