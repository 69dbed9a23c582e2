"""Requests a second: an endpoint against MLServer and BentoML, in their own venvs.

All serve the same logistic regression of 20 columns; ours with token, validation and
request log. The peers come from folders that `--venvs` names, made with uv if they are
not there. MLServer predicts by its MLflow runtime, BentoML by the skops file, from
arrays; it is run with and without batching. `wrk` sends one row over and over to each
in turn, round after round; printed are medians, and how many times the best peer ours
is.

    python benchmarks/serving_peers.py --venvs ~/peers [--rounds 3] [--seconds 3]
"""

from __future__ import annotations

import argparse
import json
import os
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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import mlflow
import numpy
import pandas
import sklearn
import skops

from benchmarks.serving import Load, Server, cases, load, register
from nbmlops.config import Settings
from nbmlops.deployment import actions, control, records
from nbmlops.deployment.supervisor.local import listen
from nbmlops.store import connect
from nbmlops.store.models.models import download_model

SAME = [f"{m.__name__}=={m.__version__}" for m in (numpy, pandas, skops)]
SAME.append(f"scikit-learn=={sklearn.__version__}")
PEERS = {
    # With a newer uvloop its worker processes do not start.
    "mlserver": [
        "mlserver==1.7.1",
        "mlserver-mlflow==1.7.1",
        "uvloop<0.22",
        f"mlflow=={mlflow.__version__}",
    ],
    "bentoml": ["bentoml==1.4.39"],
}
SERVICE = """
import bentoml, numpy as np, skops.io as sio
FILE = {file!r}

@bentoml.service(workers=1)
class Linear:
    def __init__(self):
        self.model = sio.load(FILE, trusted=sio.get_untrusted_types(file=FILE))

    @bentoml.api(batchable={is_batching})
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict(rows)
"""
CONNECTIONS = (1, 8, 32)


def python_of(venvs: Path, name: str) -> Path:
    """Return the interpreter of a peer's environment, made if it is not there."""
    venv = venvs / name
    python = venv / "bin" / "python"
    if not (venv / "bin" / name).exists():  # or only half of it was made
        print(f"making {venv}", file=sys.stderr)
        venvs.mkdir(parents=True, exist_ok=True)
        # MLServer has no release for later Pythons.
        words = ["uv", "venv", "--quiet", "--clear", "--python", "3.11", venv]
        subprocess.run(words, check=True)
        words = ["uv", "pip", "install", "--quiet", "--compile-bytecode"]
        words += ["--python", python, *PEERS[name], *SAME]
        subprocess.run(words, check=True)
    return python


@contextmanager
def running(command: list[object], folder: Path, port: int, path: str) -> Iterator[str]:
    """Run a server until it answers a path, and yield its address."""
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environ["PATH"] = f"{Path(str(command[0])).parent}{os.pathsep}{environ['PATH']}"
    environ |= {"BENTOML_DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    log = folder / "server.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            env=environ,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            if process.poll() is not None:
                raise SystemExit(f"{command} has ended:\n{log.read_text()[-3000:]}")
            try:
                urllib.request.urlopen(url + path).close()  # noqa: S310
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def mlserver(python: Path, files: Path, folder: Path) -> Iterator[Server]:
    """Serve a model folder by MLServer, in one process: that is its fastest here."""
    port, grpc, metrics = free_ports(3)
    settings = {"http_port": port, "grpc_port": grpc, "metrics_port": metrics}
    settings |= {"parallel_workers": 0, "host": "127.0.0.1"}
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {"name": "linear", "implementation": "mlserver_mlflow.MLflowRuntime"}
    model["parameters"] = {"uri": str(files)}
    (folder / "model-settings.json").write_text(json.dumps(model))
    command = [python.parent / "mlserver", "start", folder]
    with running(command, folder, port, "/v2/models/linear/ready") as url:
        yield Server("mlserver", f"{url}/invocations")


@contextmanager
def bentoml(
    python: Path, files: Path, folder: Path, *, is_batching: bool
) -> Iterator[Server]:
    """Serve the skops file of a model folder by BentoML."""
    (port,) = free_ports(1)
    source = SERVICE.format(file=str(files / "model.skops"), is_batching=is_batching)
    (folder / "service.py").write_text(source)
    command = [python.parent / "bentoml", "serve", "service:Linear"]
    command += ["--port", port, "--host", "127.0.0.1"]
    label = "bentoml, batching" if is_batching else "bentoml"
    with running(command, folder, port, "/readyz") as url:
        yield Server(label, f"{url}/predict")


def free_ports(n: int) -> list[int]:
    """Return ports that nobody listens on."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(listen(0)) for _ in range(n)]
        return [each.getsockname()[1] for each in listeners]


def answer(server: Server, body: str) -> object:
    """Return what a server predicts for a body, to see that it does."""
    headers = {"content-type": "application/json"}
    if server.token:
        headers["authorization"] = f"Bearer {server.token}"
    request = urllib.request.Request(server.url, body.encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request) as response:  # noqa: S310
        found = json.load(response)
    return found["predictions"] if isinstance(found, dict) else found


def main() -> None:
    """Print a line for each server and number of connections."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--venvs", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    pythons = {name: python_of(options.venvs.absolute(), name) for name in PEERS}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        store = connect(Settings(project=folder))
        _, model, frame, _ = next(cases())
        version = register(store, "linear", model, frame)
        files = folder / "files"
        download_model(store, version, files)
        endpoint, _ = actions.deploy(store, version, name="linear")
        stack.callback(control.request, records.root(store.settings), {"type": "stop"})
        token = records.read_token(store.settings, "linear") or ""
        for peer in ("a", "b", "c"):
            (folder / peer).mkdir()
        enter, python = stack.enter_context, pythons["bentoml"]
        servers = [
            Server("nbmlops", f"{endpoint.url}/invocations", token),
            enter(mlserver(pythons["mlserver"], files, folder / "a")),
            enter(bentoml(python, files, folder / "b", is_batching=False)),
            enter(bentoml(python, files, folder / "c", is_batching=True)),
        ]
        split = json.loads(frame.head(1).to_json(orient="split"))
        table = json.dumps({"dataframe_split": split})
        array = json.dumps({"rows": split["data"]})
        bodies = {s: array if "bentoml" in s.label else table for s in servers}
        expected = model.predict(frame.head(1)).tolist()
        for server in servers:
            if (found := answer(server, bodies[server])) != expected:
                raise SystemExit(f"{server.label} answers {found}, not {expected}")
        found: dict[tuple[int, str], list[Load]] = defaultdict(list)
        loads = [os.getloadavg()[0]]
        for _ in range(options.rounds):
            for connections in CONNECTIONS:
                for server in servers:
                    done = load(server, bodies[server], connections, options.seconds)
                    found[connections, server.label].append(done)
            loads.append(os.getloadavg()[0])
    show(found, [s.label for s in servers], options)
    print(f"load of the machine, before and in each round: {loads}")


def show(found, labels, options) -> None:  # noqa: ANN001
    """Print medians, and how many times the best peer ours is."""
    print(f"medians of {options.rounds} rounds of {options.seconds} s, one row each")
    print("connections  server                req/s    p50 ms    p99 ms  failed  ratio")
    for connections in CONNECTIONS:
        middle = {
            label: statistics.median(x.per_second for x in found[connections, label])
            for label in labels
        }
        best = max(middle[label] for label in labels[1:])
        for label in labels:
            each = found[connections, label]
            p50 = statistics.median(x.p50_ms for x in each)
            p99 = statistics.median(x.p99_ms for x in each)
            n_failed = sum(x.n_failed for x in each)
            print(
                f"{connections:11d}  {label:18s}{middle[label]:9.0f}{p50:10.2f}"
                f"{p99:10.2f}{n_failed:8d}{middle[label] / best:6.1f}x"
            )


if __name__ == "__main__":
    main()
