"""An endpoint while its tracking server is down, its artifacts gone, its disk full.

A real `mlflow server` registers three versions; two are deployed. Then the server is
killed, its database and artifacts are taken away, and the project's disk is filled.
Clients ask all the while; in the middle the supervisor is killed, the worker, and the
next supervisor. In the end the endpoint is rolled back. Then there is room on the disk,
and the server is back, with an alias that moved meanwhile: printed is how long it takes
until the version that it names answers, and the next, to which it moves after that. The
disk is a tmpfs in a mount namespace of its own (`unshare -rm`).

    python benchmarks/store_outage.py [--seconds 600]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import mlflow
import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier

from nbmlops.config import Settings
from nbmlops.deployment import actions, control, endpoints, records
from nbmlops.deployment.handle import EndpointHandle
from nbmlops.deployment.supervisor.local import listen
from nbmlops.errors import NbmlopsError
from nbmlops.store import connect
from nbmlops.store.models.models import log_model
from nbmlops.store.registry.versions import create_version
from nbmlops.store.runs.queries import get_run
from nbmlops.store.runs.runs import create_run
from tests.deployment.conftest import stop_endpoints
from tests.faults.full_disk import Ballast

FRAME = pd.DataFrame({"a": np.arange(9.0)})
MOST_S = 60.0


def start_server(folder: Path, port: int) -> tuple[subprocess.Popen[bytes], str]:
    """Return an MLflow server that answers, and its address."""
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    command += ["--port", str(port)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command,
            env={**os.environ, "PATH": path},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + MOST_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/health").close()  # noqa: S310
            return server, url
        except (urllib.error.URLError, ConnectionError):
            if server.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.1)


class Clients:
    """Ask an endpoint all the time, and note what fails and how long none answered."""

    def __init__(self, settings: Settings) -> None:
        self.n_answers, self.failures, self.longest_s = 0, [], 0.0
        self._handle = EndpointHandle(settings, endpoints.get_endpoint(settings, "m"))
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]

    def _ask(self) -> None:
        while not self._is_over.is_set():
            begun = time.monotonic()
            try:
                self._handle.predict(FRAME.head(1))
                self.n_answers += 1
            except Exception as error:  # noqa: BLE001 - it is counted
                self.failures.append(repr(error))
            self.longest_s = max(self.longest_s, time.monotonic() - begun)
            time.sleep(0.01)

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()


def processes(settings: Settings) -> tuple[int, int]:
    """Return those of the supervisor and of the worker that it has; 0 for none."""
    try:
        answer = control.request(
            records.root(settings), {"type": "status"}, starts=False
        )
    except (OSError, NbmlopsError):
        return 0, 0
    workers = (answer or {}).get("endpoints", {}).get("m", [])
    return (answer or {}).get("pid", 0), workers[0]["pid"] if workers else 0


def kill(settings: Settings, which: int) -> None:
    """Kill the supervisor, 0, or the worker, 1, and wait for another."""
    old = processes(settings)
    os.kill(old[which], signal.SIGKILL)
    until = time.monotonic() + MOST_S
    while time.monotonic() < until:
        now = processes(settings)
        if all(now) and now[which] != old[which]:
            return
        time.sleep(0.05)
    raise SystemExit(f"not back in {MOST_S} s: supervisor, worker {old} -> {now}")


def followed_s(settings: Settings, answer: str) -> float:
    """Return how long it takes from now until a version answers."""
    begun = time.monotonic()
    while time.monotonic() < begun + MOST_S:
        handle = EndpointHandle(settings, endpoints.get_endpoint(settings, "m"))
        if handle.predict(FRAME.head(1))[0] == answer:
            return round(time.monotonic() - begun, 2)
        time.sleep(0.01)
    raise SystemExit(f"version {answer} does not answer in {MOST_S} s")


def run(seconds: float, project: Path, served: Path) -> dict[str, object]:
    """Return what became of the endpoint and its clients."""
    with listen(0) as free:
        port = free.getsockname()[1]
    server, url = start_server(served, port)
    settings = Settings(project=project, tracking_uri=url)
    store = connect(settings)
    mlflow.set_tracking_uri(url)
    for number in "123":
        run_id = create_run(store, name="fit", experiment="e")
        model = DummyClassifier().fit(FRAME, [number] * len(FRAME))
        log_model(store, run_id, model, FRAME)
        version = create_version(store, "m", get_run(store, run_id))
        if number != "3":
            mlflow.MlflowClient(url).set_registered_model_alias("m", "live", number)
            actions.deploy(store, version, name="m", alias="live")
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    gone = served.rename(served.with_name("gone"))
    ballast = Ballast(project / "ballast")
    ballast.fill()
    begun = time.monotonic()
    with Clients(settings) as clients:
        for n, which in enumerate((0, 1, 0)):
            time.sleep(max(0, begun + seconds * (n + 1) / 4 - time.monotonic()))
            kill(settings, which)
        time.sleep(max(0, begun + seconds - time.monotonic()))
        handle = EndpointHandle(settings, endpoints.get_endpoint(settings, "m"))
        answers = [handle.predict(FRAME.head(1))[0]]
        since = time.monotonic()
        back = actions.roll_back(settings, "m")
        rollback_s = time.monotonic() - since
        answers.append(EndpointHandle(settings, back).predict(FRAME.head(1))[0])
        # Another server of the same database moves the alias.
        database = mlflow.MlflowClient(f"sqlite:///{gone / 'mlflow.db'}")
        database.set_registered_model_alias("m", "live", "3")
        ballast.remove()
        gone.rename(served)
        server, _ = start_server(served, port)
        try:
            moved_meanwhile_s = followed_s(settings, "3")
            mlflow.MlflowClient(url).set_registered_model_alias("m", "live", "2")
            moved_after_s = followed_s(settings, "2")
        finally:
            os.killpg(server.pid, signal.SIGKILL)
    return {
        "down_s": round(since - begun),
        "n_answers": clients.n_answers,
        "failures": clients.failures[:5],
        "n_failures": len(clients.failures),
        "longest_s": round(clients.longest_s, 2),
        "before_and_after": answers,
        "rollback_s": round(rollback_s, 2),
        "followed_once_the_server_is_back_s": moved_meanwhile_s,
        "followed_after_that_s": moved_after_s,
    }


def main() -> None:
    """Print what came of it, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        words = ["unshare", "-rm", sys.executable, "-m", "benchmarks.store_outage"]
        words += ["--seconds", str(options.seconds), "--inside"]
        sys.exit(
            subprocess.run(words, cwd=Path(__file__).parents[1], check=False).returncode
        )
    with tempfile.TemporaryDirectory() as project, tempfile.TemporaryDirectory() as own:
        served = Path(own, "server")
        served.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", project]
        subprocess.run(mount, check=True)
        try:
            found = run(options.seconds, Path(project), served)
        finally:
            stop_endpoints(Settings(project=Path(project)))
            subprocess.run(["umount", "--lazy", project], check=True)  # noqa: S607
    print(json.dumps(found))
    is_right = (
        not found["n_failures"]
        and found["before_and_after"] == ["2", "1"]
        and found["rollback_s"] < 5
    )
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
