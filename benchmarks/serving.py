"""Requests a second and latency: an endpoint against `mlflow models serve`.

Both serve the same registered model, ours with token, validation and request log.
`wrk` (a Debian package) sends the same body to each in turn, round after round; printed
are medians, and how many times the better of MLflow's servers ours is.

    python benchmarks/serving.py [--rounds 3] [--seconds 3] [--only linear]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import mlflow
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.deploy_first_answer import ENVIRON
from benchmarks.memory import pss
from nbmlops.config import Settings
from nbmlops.deployment import actions, control, records
from nbmlops.deployment.supervisor.local import listen
from nbmlops.store import Store, connect
from nbmlops.store.models.models import download_model, log_model
from nbmlops.store.registry.versions import create_version
from nbmlops.store.runs.queries import get_run
from nbmlops.store.runs.runs import create_run

UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Server:
    """Where one of the servers answers."""

    label: str
    url: str
    token: str = ""


@dataclass(frozen=True)
class Load:
    """What wrk measured."""

    per_second: float
    p50_ms: float
    p99_ms: float
    n_failed: int


def cases() -> Iterator[tuple[str, BaseEstimator, pd.DataFrame, list[tuple[int, int]]]]:
    """Yield models with their training data, and (rows, connections) to send."""
    rng = np.random.default_rng(0)
    numbers = pd.DataFrame(
        rng.normal(size=(4000, 20)), columns=[f"feature_{i}" for i in range(20)]
    )
    target = (numbers.feature_0 + numbers.feature_1 > 0).astype(int)
    single = [(1, 1), (1, 8), (1, 32)]
    linear = make_pipeline(StandardScaler(), LogisticRegression())
    yield "linear", linear.fit(numbers, target), numbers, single
    boosting = HistGradientBoostingClassifier(max_iter=100, random_state=0)
    boosting.fit(numbers, target)
    yield "boosting", boosting, numbers, [*single, (100, 1), (2000, 1)]
    mixed = pd.DataFrame(
        {
            "age": rng.normal(40, 10, 4000),
            "income": np.where(rng.random(4000) < 0.1, np.nan, rng.normal(9, 3, 4000)),
            "home": rng.choice(["rent", "own", "other"], 4000),
            "job": rng.choice(["fixed", "freelance", "none"], 4000),
        }
    )
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
        (OneHotEncoder(handle_unknown="ignore"), ["home", "job"]),
    )
    model = make_pipeline(columns, LogisticRegression())
    yield "mixed", model.fit(mixed, mixed.age > 40), mixed, [(1, 8)]


@contextmanager
def mlflow_server(folder: Path, workers: int) -> Iterator[tuple[Server, int]]:
    """Serve a model folder by MLflow, and yield where, and its process."""
    with listen(0) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder)]
    command += ["--env-manager", "local", "-p", str(port), "-w", str(workers)]
    process = subprocess.Popen(
        command,
        env=ENVIRON,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping").close()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        url = f"http://127.0.0.1:{port}/invocations"
        yield Server(f"mlflow -w {workers}", url), process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def load(server: Server, body: str, connections: int, seconds: int) -> Load:
    """Send the same request over and over."""
    headers = {"content-type": "application/json"}
    if server.token:
        headers["authorization"] = f"Bearer {server.token}"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        lines = [f'wrk.headers["{name}"] = "{text}"' for name, text in headers.items()]
        script.write('wrk.method = "POST"\n' + "\n".join(lines))
        script.write(f"\nwrk.body = [==[{body}]==]\n")
        script.flush()
        words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
        done = subprocess.run(
            [*words, "--timeout", "30s", "-s", script.name, server.url],
            capture_output=True,
            text=True,
            check=True,
        )
    text = done.stdout
    per_second = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    latency = {
        share: float(number) * UNITS[unit]
        for share, number, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)\b", text)
    }
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: .*", text)
    n_failed = int(failed[1]) if failed else 0
    n_failed += sum(map(int, re.findall(r"\d+", errors[0]))) if errors else 0
    return Load(per_second, latency["50"], latency["99"], n_failed)


def register(store: Store, name: str, model: BaseEstimator, frame: pd.DataFrame):  # noqa: ANN201
    """Return a registered version of a model."""
    mlflow.set_tracking_uri(store.uri)
    run_id = create_run(store, name="fit", experiment="bench")
    log_model(store, run_id, model, frame)
    return create_version(store, name, get_run(store, run_id))


def main() -> None:
    """Print a line for each model, size and number of connections."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", help="one of linear, boosting, mixed")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        store = connect(Settings(project=Path(folder)))
        for name, model, frame, sizes in cases():
            if options.only in (None, name):
                compare(store, name, model, frame, sizes, options)
        control.request(records.root(store.settings), {"type": "stop"})


def compare(store, name, model, frame, sizes, options) -> None:  # noqa: ANN001
    """Print what the servers of one model do, in turns."""
    version = register(store, name, model, frame)
    files = Path(store.settings.project, f"files-{name}")
    download_model(store, version, files)
    endpoint, _ = actions.deploy(store, version, name=name)
    token = records.read_token(store.settings, name) or ""
    ours = Server("nbmlops", f"{endpoint.url}/invocations", token)
    with ExitStack() as stack:
        theirs = [stack.enter_context(mlflow_server(files, n)) for n in (1, 2)]
        servers = [ours, *(server for server, _ in theirs)]
        found: dict[tuple[int, int, str], list[Load]] = defaultdict(list)
        for _ in range(options.rounds):
            for n_rows, connections in sizes:
                rows = json.loads(frame.head(n_rows).to_json(orient="split"))
                body = json.dumps({"dataframe_split": rows})
                for server in servers:
                    done = load(server, body, connections, options.seconds)
                    found[n_rows, connections, server.label].append(done)
        supervisor = control.request(
            records.root(store.settings), {"type": "status"}, starts=False
        )["pid"]
        memory = pss(supervisor), pss(theirs[0][1])
    print(f"\n{name}: medians of {options.rounds} rounds of {options.seconds} s")
    print(
        "rows  connections  server         req/s      p50 ms    p99 ms  failed  ratio"
    )
    for n_rows, connections in sizes:
        lines = {s.label: found[n_rows, connections, s.label] for s in servers}
        best = max(
            statistics.median(each.per_second for each in loads)
            for label, loads in lines.items()
            if label != "nbmlops"
        )
        for label, loads in lines.items():
            middle = statistics.median(each.per_second for each in loads)
            p50, p99 = (
                statistics.median(getattr(each, key) for each in loads)
                for key in ("p50_ms", "p99_ms")
            )
            n_failed = sum(each.n_failed for each in loads)
            print(
                f"{n_rows:4d}  {connections:11d}  {label:12s}{middle:9.0f}"
                f"{p50:12.2f}{p99:10.2f}{n_failed:8d}{middle / best:6.1f}x"
            )
    print(
        f"memory: supervisor and worker {memory[0] / 2**20:.0f} MiB, "
        f"mlflow -w 1 {memory[1] / 2**20:.0f} MiB"
    )
    actions.undeploy(store.settings, name)


if __name__ == "__main__":
    main()
