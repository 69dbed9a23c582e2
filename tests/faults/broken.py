"""Builds broken on purpose, to show that the fault tests see it.

``FAULTS_BREAK=memory python -m benchmarks.faults kills -n 40`` breaks those processes
of the tests that log; what syncs and reaps afterwards is whole.
"""

import os
import sys

from nbmlops.store.runs import runs
from nbmlops.tracking.journal import writer
from nbmlops.tracking.run import active
from nbmlops.tracking.sync import uploader

VARIABLE = "FAULTS_BREAK"


def memory():
    """Keep what is logged in memory alone, as if all disks were full."""
    make = writer.Segment.make

    def refuse(path, size):
        if path is not None:
            raise OSError("broken on purpose")
        return make(None, size)

    writer.Segment.make = staticmethod(refuse)


def double():
    """Send each metric twice, the second time as if it had been logged later."""
    send = runs.send

    def send_twice(store, run_id, *, metrics=(), **rest):
        send(store, run_id, metrics=metrics, **rest)
        again = [(name, value, at_ms + 1, step) for name, value, at_ms, step in metrics]
        send(store, run_id, metrics=again)

    runs.send = send_twice


def forget():
    """Send creations as MLflow does, and never look for one that got through."""

    def repeating(store):
        return store.client._tracking_client.store

    for module in (runs, uploader, sys.modules["nbmlops.store.runs.queries"]):
        if hasattr(module, "backend"):
            module.backend = repeating
    runs.find_by_key = lambda store, key, experiment: ()


def wait():
    """Have each call wait for the store, as logging without a journal does."""
    log_metrics = active.ActiveRun.log_metrics

    def log_and_wait(self, metrics, *, step=0):
        log_metrics(self, metrics, step=step)
        self.flush()

    active.ActiveRun.log_metrics = log_and_wait


BREAKAGES = {each.__name__: each for each in (memory, double, forget, wait)}


def break_if_asked():
    """Break this process as the environment says, if it does."""
    if os.environ.get(VARIABLE):
        BREAKAGES[os.environ[VARIABLE]]()
