import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[2]


class Served:
    """An endpoint process as a deployer starts it."""

    def __init__(self, folder, *arguments, model_folder=None):
        self.folder = folder
        folder.mkdir()
        spec = {
            "name": "credit",
            "model": "credit",
            "version": 3,
            "max_request_bytes": 50_000,
        }
        (folder / "spec.json").write_text(json.dumps(spec))
        (folder / "token").write_text("t0k3n")
        if model_folder:
            shutil.copytree(model_folder, folder / "model")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            fd = listener.fileno()
            command = [sys.executable, "-m", "nbmlops.serving", folder, "--fd", str(fd)]
            self.process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.PIPE,
                stderr=(folder / "stderr.txt").open("wb"),
                pass_fds=(fd,),
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

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

    def start(*arguments, model_folder=model_folder):
        folder = tmp_path / f".credit~{len(started):08}"
        started.append(Served(folder, *arguments, model_folder=model_folder))
        return started[-1]

    yield start
    for process in started:
        process.close()


def test_a_process_serves_its_folder_and_ends_on_sigterm_with_what_it_began(serve):
    served = serve()
    example = (served.folder / "model" / "serving_input_example.json").read_bytes()
    headers = {"Content-Type": "application/json"}
    answer, content = served.ask("POST", "/invocations", example, **headers)
    assert (answer.status, len(json.loads(content)["predictions"])) == (200, 5)
    assert served.ask("GET", "/ping", Authorization="no")[0].status == 401
    assert "Traceback" not in (served.folder / "log.txt").read_text()
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(15) in (0, -signal.SIGTERM)


def test_it_listens_on_loopback_alone(serve):
    served = serve("--no-auth")
    assert served.ask("GET", "/ping", Authorization="")[0].status == 200
    listening = [
        c.laddr.ip
        for c in psutil.Process(served.process.pid).net_connections("inet")
        if c.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


def test_it_does_not_import_mlflow():
    code = (
        "import sys, nbmlops.serving.app, skops.io; "
        "sys.exit(any(m.partition('.')[0] in ('mlflow', 'sqlalchemy') "
        "for m in sys.modules))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == 0


def test_a_body_is_refused_for_its_size_before_it_is_sent(serve):
    served = serve()
    served.ask("GET", "/ping")
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
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        connection.request(
            "POST",
            "/endpoints/credit/invocations",
            body=(b"x" * 100_000 for _ in range(2000)),
            headers={"Authorization": "Bearer t0k3n"},
            encode_chunked=True,
        )
    grown = psutil.Process(served.process.pid).memory_info().rss - before
    assert grown < 50_000_000


def test_half_sent_requests_do_not_keep_others_waiting(serve):
    served = serve()
    served.ask("GET", "/ping")
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
def test_a_model_that_cannot_be_loaded_is_reported_in_the_log(serve, damage, reported):
    served = serve("--wait")
    damage(served.folder / "model")
    served.process.stdin.write(b"go\n")
    served.process.stdin.close()
    assert served.process.wait(60) == 1
    last = (served.folder / "log.txt").read_text().splitlines()[-1]
    assert "ERROR" in last
    assert reported in last


def test_it_ends_when_its_deployer_dies_before_telling_it_to_load(serve):
    served = serve("--wait")
    served.process.stdin.close()
    assert served.process.wait(60) == 1


def test_it_ends_when_its_record_is_gone_or_names_another(serve):
    served = serve()
    link = served.folder.parent / "credit"
    link.symlink_to(served.folder.name)
    served.ask("GET", "/ping")
    _look_past_one_watch(served)
    other = link.with_name("other")
    other.symlink_to(".credit~ffffffff")
    other.replace(link)
    assert served.process.wait(20) == 0


def _look_past_one_watch(served):
    """Wait as long as the process needs to see its record, which is once a second."""
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        assert served.process.poll() is None
        time.sleep(0.05)
