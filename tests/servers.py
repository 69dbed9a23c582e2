"""A real MLflow server for tests, that can die and come back on the same port."""

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from nbmlops.store import embedded
from tests.ports import free_port


class MlflowServer:
    """A server process, started by `start`.

    Attributes
    ----------
    url : str
        Its address; the same after each start.
    backend_uri : str
        The database behind it.
    """

    def __init__(self, folder, backend_uri=None):
        self._folder = folder
        if backend_uri is None:
            embedded.ensure(folder)
            backend_uri = embedded.tracking_uri(folder)
        self.backend_uri = backend_uri
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process = None

    @property
    def port(self):
        """Where it listens."""
        return self._port

    @property
    def is_running(self):
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, limit_s=120):
        """Start it and wait until it answers; nothing when it runs."""
        if self.is_running:
            return
        hidden = ("MLFLOW_", "_MLFLOW_")
        env = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                    *("--host", "127.0.0.1", "--port", str(self._port)),
                    *("--allowed-hosts", "127.0.0.1:*"),
                    *("--backend-store-uri", self.backend_uri),
                    *("--artifacts-destination", str(self._folder / "artifacts")),
                ],
                env=env
                | {
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + limit_s
        while not self._answers():
            assert self.is_running, (self._folder / "server.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "the MLflow server did not answer"
            time.sleep(0.05)

    def _answers(self):
        try:
            urllib.request.urlopen(f"{self.url}/health", timeout=5).close()  # noqa: S310
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    def kill(self):
        """End it as kill -9 does, with all its workers."""
        self._end(signal.SIGKILL)

    def stop(self):
        """End it in good order."""
        self._end(signal.SIGTERM)

    def _end(self, number):
        if self.is_running:
            os.killpg(self._process.pid, number)
            self._process.wait(30)


@contextmanager
def serving(folder, backend_uri=None):
    """Give a started server with its files in a folder, and end it."""
    server = MlflowServer(folder, backend_uri)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def _mlflow_server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("mlflow-server")) as server:
        yield server


@pytest.fixture
def mlflow_server(_mlflow_server, monkeypatch):
    """Return the one server of the test run, up, and tracked in by this test.

    Others' runs are in it too, so the test gets an experiment of its own.
    """
    _mlflow_server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", _mlflow_server.url)
    monkeypatch.setenv("NBMLOPS_EXPERIMENT", f"test {secrets.token_hex(4)}")
    return _mlflow_server
