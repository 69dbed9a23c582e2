"""A budget that is kept: code that has used it up is interrupted."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from nbmlops.errors import UsageError
from nbmlops.tracking.resources.budget import Budget
from nbmlops.tracking.resources.memory import MemoryUsage, children

_MEASURE_EVERY_S = 0.05
_AGAIN_AFTER_S = 1.0
_PATIENCE = 3


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
