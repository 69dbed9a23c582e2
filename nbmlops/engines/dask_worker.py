"""A place on a Dask cluster, as who gives it tasks sees it."""

from __future__ import annotations

import pickle
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nbmlops.engines.dask_task import DaskTask, Outcome, began_at, call, do, stop_of
from nbmlops.errors import EngineError
from nbmlops.forkserver.waiting import readable

if TYPE_CHECKING:
    from nbmlops.engines._protocol import Worker

FIX = "See that the scheduler runs and can be reached, then run it again."
_END_S = 40.0  # more than a process takes that is stopped, and then killed


class DaskWorker:
    """Gives one task after the other to whichever worker of a cluster is free."""

    def __init__(self, client: Any, errand: Mapping[str, Any]) -> None:  # noqa: ANN401
        self.token = uuid4().hex
        self.task: object | None = None
        self.was_late = False
        self._client, self._errand = client, errand
        self._ear, self._bell = socket.socketpair()
        self._future: Any = None
        self._key = ""
        self._words = self._why_none = ""
        self._gone: list[str] = []
        self._stop_at: float | None = None

    def fileno(self) -> int:
        """Return what becomes readable when there is an answer, or none to come."""
        return self._ear.fileno()

    def give(self, task: object, *, limit_s: float | None = None) -> None:
        """Have a task done by the next worker that is free."""
        self.task, self._key, self._gone = task, f"nbmlops-{uuid4().hex}", []
        errand = DaskTask(
            key=self._key, task=pickle.dumps(task), limit_s=limit_s, **self._errand
        )
        with asking(self._client):
            self._future = self._client.submit(
                pickle.loads, call(do, errand), key=self._key, pure=False
            )
        self._future.add_done_callback(self._ring)

    def answer(self) -> object | None:
        """Return the answer; None when there is none."""
        self._ear.recv(100)
        future, self._future, self.task = self._future, None, None
        why = self._why_none
        outcome = Outcome(words=why) if why else _outcome(future)
        with suppress(EngineError), asking(self._client):
            future.cancel()
            if future.status == "finished":
                for name in (self._key, stop_of(self._key)):
                    self._event(name).clear()
        self._words, self.was_late = outcome.words, outcome.was_late
        return None if outcome.answer is None else pickle.loads(outcome.answer)  # noqa: S301 - our own

    def look_at_clock(self) -> None:
        """Give up what was begun by a worker that is gone, or does not stop."""
        if self._future is None:
            return
        while self._gone:
            name = began_at(self._key, self._gone.pop())
            with suppress(EngineError), asking(self._client):
                if self._event(name).is_set():
                    self._give_up("the Dask worker that had begun it is gone")
        if self._stop_at is not None and time.monotonic() > self._stop_at:
            self._give_up("the Dask worker did not stop it")

    def stop(self) -> None:
        """Have the task interrupted, and wherever it is still waiting dropped."""
        if self._stop_at is not None or self._future is None:
            return
        self._stop_at = time.monotonic() + _END_S
        with suppress(EngineError), asking(self._client):
            self._event(stop_of(self._key)).set()
            if not self._event(self._key).is_set():
                self._give_up("it was stopped before it began")

    def close(self) -> str:
        """Wait for the end of the task, and return its last words."""
        if self._future is not None:
            if not readable([self._ear], _END_S):
                self._give_up("the Dask worker did not stop it")
            self.answer()
        self._ear.close()
        self._bell.close()
        return self._words

    def note_gone(self, address: str, keys: object) -> None:
        """Note, in Dask's thread, that a worker went that was to do these tasks."""
        if isinstance(keys, set | list | tuple) and self._key in keys:
            self._gone.append(address)

    def _give_up(self, words: str) -> None:
        self._why_none = words
        self._ring()

    def _ring(self, _future: object = None) -> None:
        with suppress(OSError):  # it is closed
            self._bell.send(b"!")

    def _event(self, name: str) -> Any:  # noqa: ANN401
        from distributed import Event

        return Event(name, client=self._client)


def _outcome(future: Any) -> Outcome:  # noqa: ANN401
    """Return what became of an errand whose future is done."""
    try:
        if future.status == "error":
            error = future.exception()
            return Outcome(words=f"{type(error).__name__}: {error}")
        found = future.result(timeout=_END_S)
    except (CancelledError, OSError):
        return Outcome(words="the Dask scheduler is gone, or has dropped it")
    return found if isinstance(found, Outcome) else Outcome(words=repr(found))


@contextmanager
def asking(client: Any) -> Iterator[None]:  # noqa: ANN401
    """Turn the failures of a question to the scheduler into ours."""
    try:
        if client.status not in ("running", "connecting"):
            raise OSError(f"the client is {client.status}")
        yield
    except OSError as error:
        raise EngineError("The Dask scheduler does not answer.", fix=FIX) from error


if TYPE_CHECKING:
    _: type[Worker] = DaskWorker
