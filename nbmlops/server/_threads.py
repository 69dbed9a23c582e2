"""Threads for calls that may hang, bounded, and apart from Jupyter's own."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from nbmlops.errors import StoreError
from nbmlops.store import Store

RETRY_AFTER_S = 5
_TURN_S = 0.0005
_FIX = "See that the tracking server and the disk answer, then try again."
_load_lock = threading.Lock()
_loaded: set[bool] = set()


class BusyError(StoreError):
    """So many calls hang already that one more is refused."""

    status = 503


class Threads:
    """Runs calls off the event loop, at most so many at once in each lane.

    A store that hangs holds its lane's threads for as long as its client waits. They
    are daemons, unlike an executor's, so the server can still stop meanwhile.
    """

    def __init__(self, *, limit: int = 8, patience_s: float = 2.0) -> None:
        self._limit = limit
        self._patience_s = patience_s
        self._slots = defaultdict[str, asyncio.Semaphore](
            lambda: asyncio.Semaphore(limit)
        )

    async def run(
        self, lane: str, work: Callable[[], object], *, timeout_s: float | None = None
    ) -> Any:  # noqa: ANN401 - whatever the work returns
        """Return what ``work()`` returns, or raise what it raises."""
        slot = self._slots[lane]
        try:
            await asyncio.wait_for(slot.acquire(), self._patience_s)
        except TimeoutError as error:
            raise BusyError(
                f"{self._limit} requests for {lane} still wait for an answer.", fix=_FIX
            ) from error
        loop = asyncio.get_running_loop()
        result: asyncio.Future[object] = loop.create_future()

        def finish(set_outcome: Callable[[], None]) -> None:
            slot.release()
            if not result.done():
                set_outcome()

        def call() -> None:
            try:
                set_outcome = partial(result.set_result, work())
            except Exception as error:  # noqa: BLE001 - raised again by the loop
                set_outcome = partial(result.set_exception, error)
            with suppress(RuntimeError):  # the loop is closed: the server has stopped
                loop.call_soon_threadsafe(finish, set_outcome)

        threading.Thread(target=call, name=f"nbmlops {lane}", daemon=True).start()
        try:
            return await asyncio.wait_for(result, timeout_s)
        except TimeoutError as error:
            if not result.cancelled():  # the work's own
                raise
            raise StoreError(
                f"No answer about {lane} came within {timeout_s:g} seconds.",
                fix=_FIX,
            ) from error


def load_gently(store: Store) -> None:
    """Import what speaks to the store, once; call it in a thread.

    An import of this size keeps other threads waiting: each has to ask for its turn
    again after every system call, five milliseconds at a time, and the collector walks
    over all that was imported so far, again and again. Shorter turns and no collection
    meanwhile let the event loop answer within milliseconds.
    """
    with _load_lock:
        if store.is_served in _loaded:
            return
        turn_s, was_enabled = sys.getswitchinterval(), gc.isenabled()
        sys.setswitchinterval(_TURN_S)
        gc.disable()
        try:
            store.load()
            gc.freeze()  # modules stay: later collections need not walk over them
            _loaded.add(store.is_served)
        finally:
            sys.setswitchinterval(turn_s)
            if was_enabled:
                gc.enable()
