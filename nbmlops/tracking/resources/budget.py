"""What a run may take at most, and the watchdog that stops code which takes more."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

from nbmlops.errors import UsageError
from nbmlops.render.formats import format_bytes
from nbmlops.tracking.resources.usage import MemoryUsage, children

_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
_BYTES = {
    **{"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12},
    **{"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40},
}
_AMOUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]+)", re.IGNORECASE)
_MEASURE_EVERY_S = 0.05
_AGAIN_AFTER_S = 1.0
_PATIENCE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a run may take at most."""

    wall_s: float | None = None
    memory_bytes: int | None = None

    def excess(self, wall_s: float, held_bytes: int) -> str | None:
        """Return what is used up, in words.

        >>> Budget(wall_s=90).excess(90.1, 0)
        'budget of 90 s used up'
        >>> Budget(memory_bytes=2_000_000_000).excess(0, 2_140_000_000)
        'budget of 2 GB: 2.1 GB used'
        """
        if self.wall_s is not None and wall_s >= self.wall_s:
            return f"budget of {self.wall_s:g} s used up"
        if self.memory_bytes is not None and held_bytes > self.memory_bytes:
            budget = format_bytes(self.memory_bytes)
            return f"budget of {budget}: {format_bytes(held_bytes)} used"
        return None

    def check_memory(self) -> None:
        """Refuse a budget that is used up before the run begins."""
        if self.memory_bytes is None:
            return
        held = MemoryUsage().measure()
        if held > self.memory_bytes:
            raise UsageError(
                f"This process holds {format_bytes(held)} already, more than the "
                f"budget of {format_bytes(self.memory_bytes)}.",
                fix="Give a larger budget, or restart the kernel.",
            )


def parse_budget(words: str | Iterable[str]) -> Budget | None:
    """Return the budget that words such as ``90s`` and ``2GB`` give.

    >>> parse_budget("15m 500MB")
    Budget(wall_s=900.0, memory_bytes=500000000)
    """
    wall_s: float | None = None
    memory_bytes: int | None = None
    words = words.split() if isinstance(words, str) else list(words)
    for word in words:
        found = _AMOUNT.fullmatch(word)
        unit = found["unit"].lower() if found else ""
        amount = float(found["number"]) if found else 0
        problem = f"{word!r} is no budget"
        if unit in _SECONDS and amount > 0:
            problem = f"{word!r} is a second time" if wall_s else ""
            wall_s = amount * _SECONDS[unit]
        elif unit in _BYTES and amount > 0:
            problem = f"{word!r} is a second amount of memory" if memory_bytes else ""
            memory_bytes = int(amount * _BYTES[unit])
        if problem:
            raise UsageError(
                f"{problem}.",
                fix="Give a time such as 90s, 15m or 2h, memory such as 500MB or 2GB, "
                "or one of each.",
            )
    return Budget(wall_s=wall_s, memory_bytes=memory_bytes) if words else None


class RunKilled(KeyboardInterrupt):
    """The run's budget is used up; shown in a notebook as this one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class RunKilledForGood(BaseException):
    """The code has caught `RunKilled` and gone on."""

    _render_traceback_ = RunKilled._render_traceback_


class BudgetWatchdog:
    """Interrupts this, the main thread, when a budget is used up, as Ctrl-C does."""

    def __init__(
        self,
        budget: Budget,
        *,
        is_code: Callable[[FrameType | None], bool],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise UsageError(
                "A budget can be kept in the main thread only.",
                fix="Open the run there, or leave the budget out.",
            )
        budget.check_memory()
        self.budget = budget
        self.reason: str | None = None
        self._is_code = is_code
        self._wake = wake
        self._used_s = 0.0
        self._is_sent = False
        self._is_deferred = False
        self._n_raised = 0
        self._is_armed = False

    def enter(self, memory: MemoryUsage) -> None:
        """Begin to guard; in the main thread."""
        if self._is_armed:
            return
        self._memory = memory
        self._entered = time.monotonic()
        self._has_left = threading.Event()
        self._is_armed = True
        self.before = signal.signal(signal.SIGINT, self._on_signal)
        self._thread = threading.Thread(
            target=self._watch, name="nbmlops-watchdog", daemon=True
        )
        self._thread.start()

    def leave(self) -> str | None:
        """Guard no longer; in the main thread."""
        if not self._is_armed:
            return self.reason
        self._is_armed = False  # an interrupt that is under way comes to nothing
        self._has_left.set()
        self._thread.join()
        self._used_s += time.monotonic() - self._entered
        if signal.getsignal(signal.SIGINT) == self._on_signal:
            signal.signal(signal.SIGINT, self.before)
        return self.reason

    def _watch(self) -> None:
        pause = again_at = 0.0
        while not self._has_left.wait(pause):
            now = time.monotonic()
            used_s = self._used_s + now - self._entered
            has_limit = self.budget.memory_bytes is not None
            if self.reason is None:
                held = self._memory.measure() if has_limit else 0
                self.reason = self.budget.excess(used_s, held)
            if self.reason is None:
                left_s = (self.budget.wall_s or threading.TIMEOUT_MAX) - used_s
                pause = min(left_s, _MEASURE_EVERY_S if has_limit else 3600)
                continue
            if self._is_deferred or now >= again_at:
                self._interrupt()
                again_at = now + _AGAIN_AFTER_S
            pause = _MEASURE_EVERY_S

    def _interrupt(self) -> None:
        self._is_deferred = False
        self._is_sent = True
        for child in children(os.getpid()):  # those Ctrl-C would reach
            with suppress(OSError):
                if os.getpgid(child) == os.getpgrp():
                    os.kill(child, signal.SIGINT)
        main = threading.main_thread().ident
        if hasattr(signal, "pthread_kill") and main is not None:
            signal.pthread_kill(main, signal.SIGINT)
        else:
            signal.raise_signal(signal.SIGINT)
        self._wake()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        is_ours, self._is_sent = self._is_sent, False
        if is_ours and not self._is_armed:
            return
        if is_ours and self._is_code(frame):
            self._n_raised += 1
            is_ignored = self._n_raised > _PATIENCE
            raise (RunKilledForGood if is_ignored else RunKilled)(self.reason)
        if is_ours and self.before is signal.default_int_handler:
            self._is_deferred = True
        elif callable(self.before):
            self.before(number, frame)


def stack(frame: FrameType | None) -> list[FrameType]:
    """Return a frame and those that called it."""
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames
