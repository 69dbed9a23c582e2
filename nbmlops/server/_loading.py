"""MLflow comes into Jupyter's process without holding its event loop up."""

from __future__ import annotations

import gc
import sys
import threading

from nbmlops.store import Store

_TURN_S = 0.0005
_lock = threading.Lock()
_loaded: set[bool] = set()


def load_gently(store: Store) -> None:
    """Import what speaks to the store, once; call it in a thread.

    An import of this size keeps other threads waiting: each has to ask for its turn
    again after every system call, five milliseconds at a time, and the collector walks
    over all that was imported so far, again and again. Shorter turns and no collection
    meanwhile let the event loop answer within milliseconds.
    """
    with _lock:
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
