import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from nbmlops.processes.channel import Channel
from nbmlops.serving.worker import WorkerSpec

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[2]


class Served:
    """A worker process, as a supervisor without fork starts it."""

    def __init__(self, folder, model_folder=None, **options):
        self.folder = folder
        folder.mkdir()
        (folder / "token").write_text("t0k3n")
        (folder / "endpoint.json").write_text("{}")
        if model_folder:
            shutil.copytree(model_folder, folder / "versions" / "3" / "model")
        spec = WorkerSpec(
            endpoint="credit",
            folder=str(folder),
            model="credit",
            version=3,
            max_request_bytes=50_000,
            **options,
        )
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        with socket.create_server(("127.0.0.1", 0)) as listener, theirs:
            self.port = listener.getsockname()[1]
            fds = {"listener": listener.fileno(), "control": theirs.fileno()}
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nbmlops.serving.worker"],
                stdin=subprocess.PIPE,
                stderr=(folder / "stderr.txt").open("wb"),
                pass_fds=tuple(fds.values()),
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            line = json.dumps({"spec": spec.document, **fds})
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()

    def accept(self):
        assert self.channel.receive(60)["type"] == "ready"
        self.channel.send({"type": "accept"})
        return self

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": "Bearer t0k3n", **headers}
        connection.request(method, f"/endpoints/credit{path}", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def serve(tmp_path, model_folder):
    started = []

    def start(model_folder=model_folder, **options):
        started.append(Served(tmp_path / str(len(started)), model_folder, **options))
        return started[-1]

    yield start
    for process in started:
        process.close()


def test_a_worker_serves_when_it_is_told_and_ends_with_what_it_began(serve):
    served = serve().accept()
    model = served.folder / "versions" / "3" / "model"
    example = (model / "serving_input_example.json").read_bytes()
    headers = {"Content-Type": "application/json"}
    answer, content = served.ask("POST", "/invocations", example, **headers)
    assert (answer.status, len(json.loads(content)["predictions"])) == (200, 5)
    assert served.ask("GET", "/ping", Authorization="no")[0].status == 401
    assert "Traceback" not in (served.folder / "log.txt").read_text()
    served.channel.send({"type": "stop"})
    assert served.process.wait(15) == 0
    documents = []
    while not documents or documents[-1]["type"] != "drained":
        documents.append(served.channel.receive(1))
    assert documents[-1]["statuses"] == {"200": 1, "401": 1}


def test_another_token_holds_from_when_it_is_told(serve):
    served = serve().accept()
    assert served.ask("GET", "/ping")[0].status == 200
    (served.folder / "token").write_text("other")
    served.channel.send({"type": "token"})
    deadline = time.monotonic() + 10
    while served.ask("GET", "/ping", Authorization="Bearer other")[0].status != 200:
        assert time.monotonic() < deadline
    assert served.ask("GET", "/ping")[0].status == 401


def test_it_does_not_import_mlflow():
    code = (
        "import sys, nbmlops.serving.worker, skops.io; "
        "sys.exit(any(m.partition('.')[0] in ('mlflow', 'sqlalchemy') "
        "for m in sys.modules))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == 0


def test_a_body_is_refused_for_its_size_before_it_is_sent(serve):
    served = serve().accept()
    head = (
        b"POST /endpoints/credit/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Authorization: Bearer t0k3n\r\nContent-Type: application/json\r\n"
    )
    for rest in (
        b"Content-Length: 1000000000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"ea60\r\n" + b"x" * 60_000 + b"\r\n",
    ):
        with socket.create_connection(("127.0.0.1", served.port), 10) as connection:
            connection.sendall(head + rest)
            assert connection.recv(100).startswith(b"HTTP/1.1 413")
    before = psutil.Process(served.process.pid).memory_info().rss
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request(
        "POST",
        "/endpoints/credit/invocations",
        body=(b"x" * 100_000 for _ in range(2000)),
        headers={"Authorization": "Bearer t0k3n"},
        encode_chunked=True,
    )
    assert connection.getresponse().status == 413
    grown = psutil.Process(served.process.pid).memory_info().rss - before
    assert grown < 50_000_000


def test_half_sent_requests_do_not_keep_others_waiting(serve):
    served = serve().accept()
    halves = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(100)]
    for half in halves:
        half.sendall(b"POST /endpoints/credit/invocations HTTP/1.1\r\nHost: 127.")
    assert served.ask("GET", "/ping")[0].status == 200
    for half in halves:
        half.close()


@pytest.mark.parametrize(
    ("damage", "reported"),
    [
        (lambda model: shutil.rmtree(model), "MLmodel"),
        (lambda model: (model / "model.skops").write_bytes(b"PK"), "model.skops"),
        (lambda model: (model / "MLmodel").write_text("flavors: {}"), "no signature"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_reported(
    serve, model_folder, tmp_path, damage, reported
):
    copied = tmp_path / "damaged"
    shutil.copytree(model_folder, copied)
    damage(copied)
    served = serve(copied if copied.exists() else None)
    refused = served.channel.receive(60)
    assert refused["type"] == "failed"
    assert reported in refused["problem"]
    assert served.process.wait(60) == 1


def test_a_worker_that_was_never_current_ends_with_its_supervisor(serve):
    served = serve()
    assert served.channel.receive(60)["type"] == "ready"
    served.channel.close()
    assert served.process.wait(60) == 0


def test_a_worker_serves_on_without_a_supervisor_until_its_record_is_gone(serve):
    served = serve().accept()
    served.channel.close()
    assert served.ask("GET", "/ping")[0].status == 200
    (served.folder / "endpoint.json").unlink()
    assert served.process.wait(60) == 0
