"""A Dask cluster of two worker processes, and what tests ask of it."""

import contextlib
import os
import signal

import pytest
from distributed import Client, LocalCluster

from tests.pipeline.pipelines import ROOT, wait_until


@contextlib.contextmanager
def dask_cluster(n_workers=2):
    """Start a cluster of worker processes with one thread each."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("MLFLOW_", "_MLFLOW_", "NBMLOPS_", "JPY_SESSION")):
                patch.delenv(name)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("PYTHONPATH", str(ROOT))
        with Small(n_workers=n_workers) as cluster:
            cluster.wait_for_workers(n_workers, timeout=120)
            yield cluster


class Small(LocalCluster):
    """A cluster of worker processes with one thread each; of none at first."""

    def __init__(self, n_workers=0):
        super().__init__(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            silence_logs=50,
        )


def kill_busy_worker(cluster):
    """Kill -9 the Dask worker that has begun something."""
    with Client(cluster, set_as_default=False) as client:
        wait_until(lambda: any(client.processing().values()))
        (busy,) = (name for name, keys in client.processing().items() if keys)
        os.kill(client.run(os.getpid)[busy], signal.SIGKILL)
