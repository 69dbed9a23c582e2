"""Where tasks are done: in processes of this machine, or on a cluster."""

from __future__ import annotations

from nbmlops.engines._protocol import Engine, Worker

__all__ = ["Engine", "Worker"]
