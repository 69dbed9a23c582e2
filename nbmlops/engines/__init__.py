"""Engines: have tasks done in processes of this machine, or on a cluster.

Holds the `Engine` protocol and its two implementations. Knows nothing of pipelines.
"""

from __future__ import annotations

from nbmlops.config import Settings
from nbmlops.engines._protocol import Engine, WorkerExited
from nbmlops.errors import UsageError, did_you_mean

__all__ = ["ENGINES", "Engine", "WorkerExited", "get_engine"]

ENGINES = ("local", "dask")
"""Names of engines."""


def get_engine(name: str, settings: Settings) -> Engine:
    """Return an engine; it is to be closed."""
    if name not in ENGINES:
        raise UsageError(
            f"No engine {name!r}.{did_you_mean(name, ENGINES)}",
            fix=f"Use one of: {', '.join(ENGINES)}.",
        )
    if name == "dask":
        from nbmlops.engines.dask import DaskEngine

        return DaskEngine(settings)
    from nbmlops.engines.local import LocalEngine

    return LocalEngine()
