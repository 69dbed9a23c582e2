"""A task on a Dask cluster, as the process that submitted it sees it."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any

from nbmlops.engines._protocol import WorkerExited
from nbmlops.engines.dask_task import (
    GONE,
    DaskReply,
    DaskTask,
    began_at,
    call,
    run_task,
    stop_of,
)
from nbmlops.engines.local import TICK_S
from nbmlops.errors import EngineError

FIX = "See that the scheduler runs and can be reached, then run it again."
_END_S = 40.0  # more than a process takes that is stopped, and then killed


class Submission:
    """A task given to whichever worker of a cluster is free."""

    def __init__(self, client: Any, task: DaskTask) -> None:  # noqa: ANN401
        self._client, self._key = client, task.key
        self._gone: list[str] = []
        self._is_stopped = False
        with asking(client):
            self._future = client.submit(
                pickle.loads, call(run_task, task), key=task.key, pure=False
            )
        self._is_done = threading.Event()
        self._future.add_done_callback(lambda _: self._is_done.set())

    def stop(self) -> None:
        """Have the task interrupted, or dropped where it still waits."""
        self._is_stopped = True

    def note_gone(self, address: str, keys: object) -> None:
        """Note, in Dask's thread, that a worker went that was to do these tasks."""
        if isinstance(keys, set | list | tuple) and self._key in keys:
            self._gone.append(address)

    def result(self) -> object:
        """Wait for the answer."""
        why = self._wait()
        reply = DaskReply(how=why) if why else _reply(self._future)
        with suppress(EngineError), asking(self._client):
            self._future.cancel()
            if self._future.status == "finished":
                for name in (self._key, stop_of(self._key)):
                    self._event(name).clear()
        if reply.answer is None:
            raise WorkerExited(reply.how, was_late=reply.was_late)
        return pickle.loads(reply.answer)  # noqa: S301 - our own

    def _wait(self) -> str:
        """Wait until there is a reply; return why there will be none, or ""."""
        stop_at: float | None = None
        while not self._is_done.wait(TICK_S):
            with suppress(EngineError), asking(self._client):
                while self._gone:
                    if self._event(began_at(self._key, self._gone.pop())).is_set():
                        return GONE
                if self._is_stopped and stop_at is None:
                    stop_at = time.monotonic() + _END_S
                    self._event(stop_of(self._key)).set()
                    if not self._event(self._key).is_set():
                        return "it was stopped before it began"
            if stop_at is not None and time.monotonic() > stop_at:
                return "the Dask worker did not stop it"
        return ""

    def _event(self, name: str) -> Any:  # noqa: ANN401
        from distributed import Event

        return Event(name, client=self._client)


def _reply(future: Any) -> DaskReply:  # noqa: ANN401
    """Return the reply of a future that is done."""
    try:
        if future.status == "error":
            error = future.exception()
            return DaskReply(how=f"{type(error).__name__}: {error}")
        found = future.result(timeout=_END_S)
    except (CancelledError, OSError):
        return DaskReply(how="the Dask scheduler is gone, or has dropped it")
    return found if isinstance(found, DaskReply) else DaskReply(how=repr(found))


@contextmanager
def asking(client: Any) -> Iterator[None]:  # noqa: ANN401
    """Turn the failures of a question to the scheduler into ours."""
    try:
        if client.status not in ("running", "connecting"):
            raise OSError(f"the client is {client.status}")
        yield
    except OSError as error:
        raise EngineError("The Dask scheduler does not answer.", fix=FIX) from error
