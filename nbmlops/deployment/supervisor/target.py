"""Where endpoints run."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any, Protocol

from nbmlops.deployment.supervisor import follower
from nbmlops.deployment.supervisor.endpoint import RunningEndpoint
from nbmlops.deployment.supervisor.local import LocalEndpoint
from nbmlops.deployment.supervisor.workers import THREADS
from nbmlops.store.models.skops_format import import_skops


class DeployTarget(Protocol):
    """Where the versions of endpoints run; one supervisor has one."""

    name: str

    def prepare(self) -> None:
        """Do what has to be done before there is a thread."""

    def endpoint(self, folder: Path, name: str) -> RunningEndpoint[Any, Any]:
        """Return an endpoint of a folder that is to be served there."""

    def start_follower(self, folder: Path) -> int:
        """Return a child that follows the aliases of a folder's endpoints."""


class LocalTarget:
    """Endpoints of processes on this machine."""

    name = "local"

    def prepare(self) -> None:
        """Import what workers need, which then costs a fork nothing."""
        for name in THREADS:
            os.environ[name] = "1"  # a thread at the time of a fork would be lost
        os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
        gc.disable()
        import pandas  # noqa: F401
        import prometheus_client  # noqa: F401
        import pyarrow.parquet  # noqa: F401
        import sklearn.compose
        import sklearn.ensemble
        import sklearn.linear_model
        import sklearn.pipeline
        import sklearn.preprocessing
        import sklearn.tree  # noqa: F401
        import threadpoolctl  # type: ignore[import-untyped] # noqa: F401

        import_skops()
        gc.freeze()
        gc.enable()

    def endpoint(self, folder: Path, name: str) -> LocalEndpoint:
        """Return an endpoint whose workers are forked."""
        return LocalEndpoint(folder, name)

    def start_follower(self, folder: Path) -> int:
        """Fork it."""
        return follower.fork(folder)
