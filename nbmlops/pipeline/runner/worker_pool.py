"""The tasks of a run: submitted to an engine, waited for together, stopped in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, TypeVar

from nbmlops.engines import Engine, WorkerExited
from nbmlops.execution.interrupts import Interrupts

_TICK_S = 0.5
Item = TypeVar("Item")


class WorkerPool(AbstractContextManager["WorkerPool[Item]"], Generic[Item]):
    """Tasks that an engine's workers do for items.

    While it is entered, in the main thread, an interrupt is counted and not raised, and
    the second one stops the workers. When it is left, all of them have stopped.
    """

    def __init__(
        self, engine: Engine, module: str, environment: Callable[[], Mapping[str, str]]
    ) -> None:
        self.has_lost = False
        self._engine, self._module, self._environment = engine, module, environment
        self._items: dict[Future[object], Item] = {}
        self._interrupts = Interrupts()

    def __enter__(self) -> WorkerPool[Item]:
        self._interrupts.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._engine.close()
        finally:
            self._interrupts.__exit__(kind, error, trace)

    @property
    def n_busy(self) -> int:
        """How many tasks are being done."""
        return len(self._items)

    @property
    def n_interrupts(self) -> int:
        """How often somebody wanted it to end."""
        return self._interrupts.count

    def prestart(self) -> None:
        """Have the engine begin what the first task would wait for."""
        if not self._items:
            self._engine.prestart(self._module, self._environment())

    def submit(self, item: Item, task: object, *, limit_s: float | None = None) -> None:
        """Have a task done."""
        env = self._environment()
        future = self._engine.submit(self._module, env, task, limit_s=limit_s)
        self._items[future] = item

    def wait(
        self, pause_s: float = _TICK_S
    ) -> list[tuple[Item, object | WorkerExited]]:
        """Return what was answered, as soon as there is something."""
        timeout_s = min(pause_s, _TICK_S)
        if not self._items:
            time.sleep(timeout_s)
        done, _ = wait(self._items, timeout_s, return_when=FIRST_COMPLETED)
        if self.n_interrupts > 1:
            self._engine.stop()
        return [(self._items.pop(future), self._answer(future)) for future in done]

    def _answer(self, future: Future[object]) -> object | WorkerExited:
        try:
            return future.result()
        except WorkerExited as exited:
            self.has_lost = True
            return exited
