"""Requests as a worker logs them; run as a script, a worker that logs until killed."""

import sys
import time
import uuid
from pathlib import Path

import numpy as np

from nbmlops.entities import Column
from nbmlops.serving.request_log.requests import LoggedRequest, RequestLog

COLUMNS = [Column(name="a", type="double"), Column(name="b", type="double")]
BOUNDS = {"most_bytes": 10**9, "most_days": 30}


def request(inputs=None, outputs=None, *, time_ns=None, **fields):
    return LoggedRequest(
        **{
            "request_id": uuid.uuid4().hex,
            "time_ns": time.time_ns() if time_ns is None else time_ns,
            "version": 3,
            "route": "champion",
            "status": 200,
            "latency_us": 250,
            "inputs": inputs,
            "outputs": outputs,
        }
        | fields
    )


def log_until_killed(folder):
    """Log a request, print its id; and so on."""
    log = RequestLog(folder, COLUMNS, **BOUNDS)
    while True:
        logged = request(np.random.rand(1, 2), [0.5])
        log.append(logged)
        print(logged.request_id, time.time(), flush=True)  # noqa: T201
        time.sleep(0.002)


if __name__ == "__main__":
    log_until_killed(Path(sys.argv[1]))
