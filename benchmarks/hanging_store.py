"""How long Jupyter's own /api/status takes while a store hangs for five seconds.

Starts a Jupyter server with nbmlops for each case, keeps asking for its status, and
meanwhile sends twenty requests that need the store::

    python benchmarks/hanging_store.py
"""

from __future__ import annotations

import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

from nbmlops.config import load_settings
from nbmlops.store import connect, embedded

HANG_S = 5.0
N_REQUESTS = 20
TOKEN = "benchmark"  # noqa: S105 - of a server that lives for seconds


@contextmanager
def jupyter(root: Path, tracking_uri: str | None = None) -> Iterator[int]:
    """Start a Jupyter server and yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    env |= {
        f"JUPYTER_{kind}_DIR": str(root / f".jupyter-{kind.lower()}")
        for kind in ("CONFIG", "DATA", "RUNTIME")
    }
    if tracking_uri:
        env["MLFLOW_TRACKING_URI"] = tracking_uri
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser"),
            *(
                f"--port={port}",
                "--ServerApp.port_retries=0",
                f"--ServerApp.root_dir={root}",
            ),
            *(f"--IdentityProvider.token={TOKEN}",),
            "--ServerApp.jpserver_extensions=nbmlops=True",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=env,
    )
    try:
        deadline = time.monotonic() + 60
        while ask(port, "/nbmlops/api/project") != 200:
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def ask(port: int, path: str, method: str = "GET", body: bytes | None = None) -> int:
    """Return the status of an answer; 0 when there is none."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        method=method,
        data=body,
        headers={"Authorization": f"token {TOKEN}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def measure(port: int, label: str, *, seconds: float = HANG_S) -> None:
    """Print how long /api/status takes, and how late this process itself wakes up."""
    taken_ms, late_ms = [], []
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = time.perf_counter()
        connection.request(
            "GET", "/api/status", headers={"Authorization": f"token {TOKEN}"}
        )
        connection.getresponse().read()
        answered = time.perf_counter()
        taken_ms.append((answered - before) * 1000)
        time.sleep(0.005)
        late_ms.append((time.perf_counter() - answered) * 1000 - 5)
    connection.close()
    p99 = statistics.quantiles(taken_ms, n=100)[98]
    print(
        f"{label:51} {len(taken_ms):5} {statistics.median(taken_ms):7.1f} {p99:7.1f}"
        f" {max(taken_ms):7.1f} {sum(t > 50 for t in taken_ms):7} {max(late_ms):9.1f}"
    )


@contextmanager
def meanwhile(port: int, path: str, method: str = "GET", body: bytes | None = None):  # noqa: ANN201
    """Send the requests in the background; print what they were answered."""
    with ThreadPoolExecutor(N_REQUESTS) as threads:
        sent = [
            threads.submit(ask, port, path, method, body) for _ in range(N_REQUESTS)
        ]
        yield
    answers = [each.result() for each in sent]
    told = ", ".join(f"{answers.count(s)} x {s}" for s in sorted(set(answers)))
    print(f"  the {N_REQUESTS} requests: {told}")


def hung_tracking_server(root: Path) -> None:
    """Measure while a tracking server takes connections and does not answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with jupyter(root, uri) as port:
            measure(port, "idle")
            with meanwhile(port, "/nbmlops/api/models"):
                measure(port, "mlflow is imported, and its server hangs")
                measure(port, "the server hangs, mlflow is imported already")
                listener.close()


def locked_database(root: Path) -> None:
    """Measure while another process holds the embedded store's write lock."""
    store = connect(load_settings(root))
    store.client.create_registered_model("credit")
    store.client.create_model_version("credit", source=str(root))
    path = "/nbmlops/api/models/credit/aliases/champion"
    with (
        jupyter(root) as port,
        closing(sqlite3.connect(embedded.database(root / ".nbmlops"))) as lock,
    ):
        measure(port, "idle")
        lock.execute("BEGIN IMMEDIATE")
        with meanwhile(port, path, "PUT", b'{"version": 1}'):
            measure(port, "mlflow is imported, and the database is locked")
        with meanwhile(port, path, "PUT", b'{"version": 1}'):
            measure(port, "the database is locked, mlflow is imported already")
            lock.rollback()


def main() -> None:
    """Run both cases, each in a project of its own."""
    titles = ("n", "median", "p99", "worst", "> 50 ms", "own delay")
    print("{:51} {:>5} {:>7} {:>7} {:>7} {:>7} {:>9}".format("ms", *titles))
    for case in (hung_tracking_server, locked_database):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / ".nbmlops").mkdir()
            case(root)


if __name__ == "__main__":
    main()
