"""A million requests to one endpoint: memory, files, threads, and the request log.

`wrk` (a Debian package) sends rows over 32 connections; each second the worker's
memory, open files and threads are read. In the end the log is counted against what was
answered.

    python benchmarks/endpoint_soak.py [--requests 1000000]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil

from benchmarks.serving import cases, register
from nbmlops.config import Settings
from nbmlops.deployment import actions, control, records
from nbmlops.deployment.request_log import log_folder
from nbmlops.store import connect

COUNTER = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer %s"
wrk.body = [==[%s]==]
"""


def main() -> None:
    """Print what the worker holds at the start, in the middle and at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1_000_000)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        store = connect(Settings(project=Path(folder)))
        _, model, frame, _ = next(cases())
        endpoint, _ = actions.deploy(
            store, register(store, "soak", model, frame), name="s"
        )
        token = records.read_token(store.settings, "s")
        rows = json.loads(frame.head(1).to_json(orient="split"))
        script = Path(folder, "post.lua")
        script.write_text(COUNTER % (token, json.dumps({"dataframe_split": rows})))
        worker = psutil.Process(endpoint.pid)
        answered, samples = 0, []
        while answered < options.requests:
            words = ["wrk", "-t1", "-c32", "-d10s", "-s", str(script)]
            load = subprocess.Popen(
                [*words, f"{endpoint.url}/invocations"],
                stdout=subprocess.PIPE,
                text=True,
            )
            while load.poll() is None:
                time.sleep(1)
                rss = worker.memory_info().rss / 2**20
                samples.append((rss, worker.num_fds(), worker.num_threads()))
            text = load.communicate()[0]
            if found := re.search(r"Non-2xx.*|Socket errors.*", text):
                print(found[0])
            answered += int(re.search(r"(\d+) requests in", text)[1])
            print(f"{answered:9,d} answered, {samples[-1][0]:.0f} MiB", flush=True)
        for name, part in (("first", samples[:5]), ("last", samples[-5:])):
            rss, fds, threads = (max(values) for values in zip(*part, strict=True))
            print(f"{name}: at most {rss:.0f} MiB, {fds} files, {threads} threads")
        time.sleep(3)
        import pyarrow.dataset as ds

        n_logged = ds.dataset(log_folder(store.settings, "s")).count_rows()
        print(f"{answered:,} answered, {n_logged:,} in the log")
        actions.undeploy(store.settings, "s")
        control.request(records.root(store.settings), {"type": "stop"})


if __name__ == "__main__":
    main()
