"""Recording runs: opened, filled and ended with the status they earned.

``%load_ext nbmlops`` needs the record of the cells and no store yet, so the names below
are imported from their places when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbmlops.tracking.ending import status_of
    from nbmlops.tracking.opening import open_run
    from nbmlops.tracking.record import OpenRun
    from nbmlops.tracking.syncing import sync
    from nbmlops.tracking.tracker import track

_HOME_OF = {
    "OpenRun": "record",
    "open_run": "opening",
    "status_of": "ending",
    "sync": "syncing",
    "track": "tracker",
}

__all__ = ["OpenRun", "open_run", "status_of", "sync", "track"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name not in _HOME_OF:
        raise AttributeError(f"module 'nbmlops.tracking' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
