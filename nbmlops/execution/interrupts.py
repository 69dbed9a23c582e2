"""Interrupts held back until what runs has come to its end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType, TracebackType
from typing import Any, Protocol

from nbmlops.execution.outcome import ExecutionOutcome

_POLL_S = 0.2
GiveUp = Callable[[], str]
"""Says why what runs is not to go on; nothing while it may."""


class NotebookClient(Protocol):
    """What runs a notebook once."""

    def run(self) -> ExecutionOutcome:
        """Run it to its end."""

    def stop(self) -> None:
        """Interrupt it, from any thread."""


class Interrupts:
    """Counts signals instead of raising them, in the main thread."""

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    self._before[number] = signal.signal(number, self._note)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1 if number == signal.SIGINT else 2


def run_interruptibly(
    client: NotebookClient, give_up: GiveUp | None = None
) -> tuple[ExecutionOutcome, KeyboardInterrupt | None]:
    """Run a notebook in a thread, so that this one can be interrupted meanwhile."""
    outcome: ExecutionOutcome | None = None
    interrupt: KeyboardInterrupt | None = None
    why = ""
    with ThreadPoolExecutor(1, thread_name_prefix="nbmlops-step") as pool:
        try:
            future = pool.submit(client.run)
            while outcome is None:
                try:
                    if wait([future], _POLL_S if give_up else None).done:
                        outcome = future.result()
                    elif give_up and not why and (why := give_up()):
                        client.stop()
                except KeyboardInterrupt as error:
                    interrupt = interrupt or error
                    client.stop()
        finally:
            client.stop()
    if why and interrupt is None and outcome.how != "finished":
        outcome = replace(outcome, how="given up", reason=why)
    return outcome, interrupt


@contextmanager
def terminable() -> Iterator[None]:
    """Have SIGTERM and SIGHUP interrupt the block first, and then do what they do.

    So a step that is terminated ends its kernel and its run. Only the main thread can
    set this up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        raise KeyboardInterrupt(signal.Signals(number).name)

    replaced = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in replaced:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)
        if caught:
            signal.raise_signal(caught[0])
