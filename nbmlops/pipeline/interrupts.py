"""Interrupts that are counted, so that what runs can come to its end."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Counts signals instead of raising them, in the main thread.

    Entering it gives a file that is readable when one came.

    Attributes
    ----------
    count : int
        How often it was interrupted; a signal to terminate counts twice.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> int:
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._writable, False)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    self._before[number] = signal.signal(number, self._note)
        return self._readable

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._readable)
        os.close(self._writable)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1 if number == signal.SIGINT else 2
        with suppress(OSError):
            os.write(self._writable, b"!")
