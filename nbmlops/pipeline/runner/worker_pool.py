"""The workers of a run: given tasks, waited for together, stopped in time."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

from nbmlops.engines import Engine, Worker
from nbmlops.execution.interrupts import Interrupts

_TICK_S = 0.5
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerExited:
    """A worker ended in place of an answer."""

    words: str
    was_late: bool


class WorkerPool(Generic[Item]):
    """Workers that are started as they are needed, and hear of interrupts.

    While it is entered, in the main thread, an interrupt is counted and not raised, and
    the second one stops the workers. When it is left, all of them have ended.
    """

    def __init__(
        self, engine: Engine, module: str, environment: Callable[[], Mapping[str, str]]
    ) -> None:
        self.has_lost = False
        self._engine, self._module, self._environment = engine, module, environment
        self._workers: list[Worker] = []
        self._doing: dict[str, Item] = {}
        self._interrupts = Interrupts()
        self._closing = ExitStack()

    def __enter__(self) -> WorkerPool[Item]:
        wake = self._closing.enter_context(self._interrupts)
        self._selector = self._closing.enter_context(selectors.DefaultSelector())
        self._selector.register(wake, selectors.EVENT_READ)
        self._closing.callback(self._leave)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    @property
    def n_busy(self) -> int:
        """How many tasks are being done."""
        return len(self._doing)

    @property
    def n_interrupts(self) -> int:
        """How often somebody wanted it to end."""
        return self._interrupts.count

    def expect(self) -> None:
        """Have the engine begin what the first worker would wait for."""
        if not self._workers:
            self._engine.expect(self._module, self._environment())

    def give(self, item: Item, task: object, *, limit_s: float | None = None) -> None:
        """Have a task done."""
        idle = next((w for w in self._workers if w.task is None), None)
        if idle is None:
            idle = self._engine.start(self._module, self._environment())
            self._workers.append(idle)
            self._selector.register(idle, selectors.EVENT_READ, idle)
        self._doing[idle.token] = item
        idle.give(task, limit_s=limit_s)

    def wait(
        self, pause_s: float = _TICK_S
    ) -> list[tuple[Item, object | WorkerExited]]:
        """Return what was answered, as soon as there is something, or an interrupt."""
        found: list[tuple[Item, object | WorkerExited]] = []
        for key, _ in self._selector.select(min(pause_s, _TICK_S)):
            if key.data is None:
                os.read(key.fd, 100)
            else:
                found += self._take_answer(key.data)
        for worker in self._workers:
            if self.n_interrupts > 1 and worker.task is not None:
                worker.stop()
            worker.look_at_clock()
        return found

    def _take_answer(self, worker: Worker) -> list[tuple[Item, object | WorkerExited]]:
        item = self._doing.pop(worker.token, None)
        answer = worker.answer()
        if answer is None:
            self.has_lost = True
            answer = WorkerExited(words=self._dismiss(worker), was_late=worker.was_late)
        return [] if item is None else [(item, answer)]

    def _dismiss(self, worker: Worker) -> str:
        self._selector.unregister(worker)
        self._workers.remove(worker)
        return worker.close()

    def _leave(self) -> None:
        for worker in self._workers:
            if worker.task is not None:
                worker.stop()
        for worker in list(self._workers):
            self._dismiss(worker)
