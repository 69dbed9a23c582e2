"""A process that has imported all, forks loggers, and kills them.

It reads a JSON line an order: ``name`` of the run, ``logger`` (``nbmlops``, ``mlflow``,
``mlflow async``), ``n`` values, and ``kill_after_s``, the seconds from the fork
(``since`` is ``fork``) or from the opened run (``open``) after which the logger gets
SIGKILL, or null. On stdout come the logger's lines, ``open``, ``ack STEP`` and
``no STEP``, each written before the logger goes on, and at last ``end STATUS``.
"""

import json
import os
import signal
import sys
import threading
import time

import mlflow
from mlflow.exceptions import MlflowException

import nbmlops as nm
from nbmlops.errors import NbmlopsError
from nbmlops.store import connect
from nbmlops.tracking.provenance.source import installed
from tests.faults.broken import break_if_asked
from tests.faults.ledger import METRIC, value_of

BURST, PAUSE_S = 20, 0.005


def serve():
    """Carry out orders until stdin ends."""
    loggers = {"nbmlops": _ours, "mlflow": _theirs, "mlflow async": _theirs_async}
    # All that a run loads; no store is opened, whose connections would not bear a fork.
    connect(must_answer=False).load()
    installed()
    break_if_asked()
    for line in sys.stdin:
        order = json.loads(line)
        assert threading.active_count() == 1, "a fork would lose threads"
        is_open, tell_open = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                order["tell_open"] = tell_open
                loggers[order["logger"]](order)
                code = 0
            finally:
                os._exit(code)
        os.close(tell_open)
        if order["kill_after_s"] is not None:
            if order["since"] == "open":
                os.read(is_open, 1)
            time.sleep(order["kill_after_s"])
            os.kill(pid, signal.SIGKILL)
        os.close(is_open)
        say(f"end {os.waitpid(pid, 0)[1]}")


def say(text):
    """Write a line before anything else is done."""
    os.write(1, f"{text}\n".encode())


def _steps(order, log):
    """Log values in bursts, as a training loop does, and tell what became of each."""
    say("open")
    os.close(order["tell_open"])
    for step in range(order["n"]):
        try:
            log(value_of(order["name"], step), step)
        except (NbmlopsError, MlflowException):
            say(f"no {step}")
        else:
            say(f"ack {step}")
        if step % BURST == BURST - 1:
            time.sleep(PAUSE_S)


def _ours(order):
    with nm.track(order["name"], experiment="faults") as run:
        _steps(order, lambda value, step: run.log_metrics({METRIC: value}, step=step))


def _theirs(order, **how):
    mlflow.set_tracking_uri(connect().uri)
    mlflow.set_experiment("faults")
    with mlflow.start_run(run_name=order["name"]):
        _steps(order, lambda v, step: mlflow.log_metric(METRIC, v, step=step, **how))


def _theirs_async(order):
    _theirs(order, synchronous=False)


if __name__ == "__main__":
    serve()
