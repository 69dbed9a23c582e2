"""What those who have tasks done need of where they are done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Worker(Protocol):
    """Does one task after the other, and harms no other whatever becomes of it.

    Attributes
    ----------
    token : str
        Tells it from all others.
    task : object or None
        What it is doing.
    was_late : bool
        Whether a task took longer than its limit.
    """

    token: str
    task: object | None
    was_late: bool

    def fileno(self) -> int:
        """Return what becomes readable when it has answered or ended."""

    def give(self, task: object, *, limit_s: float | None = None) -> None:
        """Give it a task that can be pickled; when it is gone, that is its end."""

    def answer(self) -> object | None:
        """Return its answer, after which it is free; None when it ended instead."""

    def look_at_clock(self) -> None:
        """Stop it when its task takes too long; to be called every second or so."""

    def stop(self) -> None:
        """Have it interrupt its task, end what that has begun, and end."""

    def close(self) -> str:
        """Wait for its end, and return its last words."""


class Engine(Protocol):
    """Starts workers.

    Attributes
    ----------
    n_jobs : int
        How many workers it is to have by default, at least 1.
    n_beside : int
        How many tasks share the processors of one machine when all are busy.
    """

    @property
    def n_jobs(self) -> int: ...

    @property
    def n_beside(self) -> int: ...

    def expect(self, module: str, env: Mapping[str, str]) -> None:
        """Begin what `start` would wait for; it need not be called."""

    def start(self, module: str, env: Mapping[str, str]) -> Worker:
        """Return a worker.

        Parameters
        ----------
        module : str
            What it runs, as ``python -m`` does; it calls `nbmlops.engines.local.serve`.
        env : Mapping of str to str
            Variables to add to its environment.

        Raises
        ------
        NbmlopsError
            There is nothing to start it on.
        """

    def close(self) -> None:
        """Let go of what it holds; its workers are closed."""
