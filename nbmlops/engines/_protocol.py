"""What those who have tasks done need of where they are done."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Protocol


class WorkerExited(Exception):  # noqa: N818 - not an error of this process
    """A worker ended instead of answering; its text says how.

    Attributes
    ----------
    was_late : bool
        Whether its task took longer than its limit.
    """

    def __init__(self, how: str, *, was_late: bool = False) -> None:
        super().__init__(how)
        self.was_late = was_late


class Engine(Protocol):
    """Has tasks done by worker processes, none of which can harm another.

    Attributes
    ----------
    n_jobs : int
        How many tasks it is to do at once by default, at least 1.
    jobs_per_machine : int
        How many tasks share the processors of one machine when all are busy.
    """

    @property
    def n_jobs(self) -> int: ...

    @property
    def jobs_per_machine(self) -> int: ...

    def prestart(self, module: str, env: Mapping[str, str]) -> None:
        """Begin what the first task would wait for; it need not be called."""

    def submit(
        self,
        module: str,
        env: Mapping[str, str],
        task: object,
        *,
        limit_s: float | None = None,
    ) -> Future[object]:
        """Return the future answer to a task.

        Parameters
        ----------
        module : str
            What a worker runs, as ``python -m`` does; it calls
            `nbmlops.engines.local.serve`. It is the same for all tasks of an engine.
        env : Mapping of str to str
            Variables to add to the environment of a worker that is started for it.
        task : object
            What can be pickled.
        limit_s : float, optional
            Seconds after which its worker is stopped, above 0; never by default.

        Returns
        -------
        Future of object
            Its exception is a `WorkerExited` when the worker ended instead.

        Raises
        ------
        NbmlopsError
            There is nothing to do it.
        """

    def stop(self) -> None:
        """Interrupt all tasks, and end their workers; no others are submitted."""

    def close(self) -> None:
        """Stop what runs, wait for its end, and let go of all it holds."""
