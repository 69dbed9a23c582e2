"""The proxy that spoils connections does what it says, and only that."""

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.chaos import chaos

BODY = b"0123456789" * 20


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.served += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.served = 0
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def proxy(server):
    with chaos(server.server_port, seed=7) as running:
        yield running


def ask(proxy, timeout_s=5.0):
    """Send one request on a connection of its own, and return the body or error."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout_s)
    try:
        connection.request("POST", "/", body=b"x" * 1000)
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        return type(error)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("mode", "met", "served"),
    [
        ("down", ConnectionRefusedError, 0),
        ("reset", ConnectionResetError, 0),
        ("hang", TimeoutError, 0),
        ("drop_reply", ConnectionResetError, 1),
    ],
)
def test_faulty_mode_gives_its_error_and_passing_heals_it(
    proxy, server, mode, met, served
):
    assert ask(proxy) == BODY
    server.served = 0
    proxy.set(mode)
    assert ask(proxy, timeout_s=0.5) is met
    assert server.served == served
    proxy.set("pass")
    assert ask(proxy) == BODY


def test_half_a_reply_is_no_reply(proxy, server):
    proxy.set("half_reply")
    assert ask(proxy) in (http.client.IncompleteRead, ConnectionResetError)
    assert (server.served, proxy.n_spoilt) == (1, 1)


def test_slow_reply_is_whole_and_late(proxy):
    proxy.set("slow", delay_s=0.4)
    began = time.monotonic()
    assert ask(proxy) == BODY
    assert time.monotonic() - began >= 0.4


def test_share_of_dropped_replies_is_that_asked_for_and_comes_from_the_seed(server):
    seen = []
    for _ in range(2):
        server.served = 0
        with chaos(server.server_port, seed=20261120) as proxy:
            proxy.set("drop_reply", share=0.3)
            seen.append([ask(proxy) == BODY for _ in range(200)])
            lost = seen[-1].count(False)
            assert (proxy.n_replies, proxy.n_spoilt) == (200, lost)
        assert server.served == 200
        assert 40 <= lost <= 80  # 60 +- 3 standard deviations
    assert seen[0] == seen[1]


def test_requests_on_one_kept_connection_are_judged_one_by_one(proxy):
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    for _ in range(5):
        connection.request("POST", "/", body=b"x")
        assert connection.getresponse().read() == BODY
    assert proxy.n_replies == 5
    proxy.set("drop_reply")
    connection.request("POST", "/", body=b"x")
    with pytest.raises(ConnectionResetError):
        connection.getresponse()
    connection.close()


def test_going_down_ends_open_connections(proxy):
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    connection.request("POST", "/", body=b"x")
    assert connection.getresponse().read() == BODY
    proxy.set("down")
    with pytest.raises(ConnectionResetError):
        connection.sock.recv(1)
    connection.close()


def test_unknown_mode_is_refused(proxy):
    with pytest.raises(ValueError, match="'dwon' is none of pass, down"):
        proxy.set("dwon")
