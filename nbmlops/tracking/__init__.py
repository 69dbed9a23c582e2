"""Recording runs: opened, filled and ended with the status they earned."""

from nbmlops.tracking.ending import status_of
from nbmlops.tracking.opening import open_run
from nbmlops.tracking.record import OpenRun
from nbmlops.tracking.syncing import sync
from nbmlops.tracking.track import track

__all__ = ["OpenRun", "open_run", "status_of", "sync", "track"]
