"""No request, however malformed, is answered by 5xx, by a trace, or not at all."""

import asyncio
import json
import re
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nbmlops.serving.app import EndpointApp, Limits
from nbmlops.serving.http.server import HttpServer
from nbmlops.serving.model import ServedModel
from nbmlops.serving.request_log.feedback import Feedback
from nbmlops.serving.request_log.journal import Journal
from nbmlops.serving.request_log.requests import RequestLog
from tests.scoring.test_bad_requests import SPECS, requests

TOKEN = b"authorization: Bearer t0k3n\r\n"
JSON = b"content-type: application/json\r\n"
HOST = b"host: localhost\r\n"
BASES = (b"", b"/endpoints/e")
V2_INFER = b"/v2/models/m/infer"
METHODS = (
    b"GET POST PUT DELETE HEAD OPTIONS PATCH CONNECT TRACE QUERY post G\x00T".split()
)
PATHS = (
    *(b"/", b"/ping", b"/version", b"/metrics", b"/invocations", b"/feedback", b"/v2"),
    *(b"/v2/health/live", b"/v2/models/m", b"/v2/models/m/versions/3/infer", V2_INFER),
    *(b"/v2/models/%ff%00/infer", b"/v2/models//", b"/v2//", b"*", b"//x:99999/["),
    *(b"http://[::1/ping", b"localhost:80", b"/../..", b"/ping?" + b"x" * 9000),
)
HEADERS = (
    *(b"content-length: -1", b"content-length: 1e9", b"content-length: 99999999999999"),
    *(b"content-length: 18446744073709551616", b"content-length: 5, 5"),
    *(b"transfer-encoding: gzip", b"transfer-encoding: chunked, identity"),
    *(b"expect: 100-continue", b"expect: more", b"content-encoding: gzip"),
    *(
        b"connection: Upgrade\r\nupgrade: h2c",
        b"connection: close",
        b"connection: \xff",
    ),
    *(b"host: [", b"host: evil.example", b"host: localhost:x", b"origin: http://[x"),
    *(b"origin: null", b"authorization: Basic \xe9", b"x-request-key: \xff\x00"),
    *(b": no name", b"no colon", b"x" * 70_000 + b": 1", b"x: " + b"y" * 70_000),
    *(
        b"x: 1\r\n " + b"folded",
        b"content-type: \xff\xfe",
        b"content-type: " + b";" * 999,
    ),
    b"x-nbmlops-request-id: \xff",
)


def echo(rows):
    """Predict what was sent, of whatever kind it is."""
    if hasattr(rows, "iloc"):
        return rows.iloc[:, 0] if rows.ndim == 2 else rows
    if hasattr(rows, "toarray"):
        return rows.toarray()[:, 0]
    return rows[:, 0] if getattr(rows, "ndim", 1) == 2 else rows


def proba(rows):
    return [[0.5, 0.5] for _ in range(len(echo(rows)))]


@contextmanager
def serving(folder):
    """Yield the port of an endpoint for each spec; all answer in one thread."""
    journals, loop = [], asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin(name, listener):
        spec = SPECS[name]
        columns = [{"name": each.name, "type": each.type} for each in spec.columns]
        document = {"signature": {"inputs": json.dumps(columns)}}
        model = ServedModel(
            name="m", version=3, spec=spec, predict=echo, document=document
        )
        if name != "array":
            model = replace(model, predict_proba=proba, classes=["a", "b"])
        limits = Limits(body_bytes=20_000)
        bounds = {"most_bytes": 10**8, "most_days": 9}
        journal = Journal(
            log=RequestLog(folder / name, model.spec.columns, **bounds),
            feedback=Feedback(folder / name / "feedback", **bounds),
        )
        journals.append(journal)
        token = "t0k3n"  # noqa: S105
        app = EndpointApp(
            model, endpoint="e", token=token, limits=limits, journal=journal
        )
        server = HttpServer(app, listener)
        server.accept()
        return server

    def call(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in SPECS}
    servers = [call(begin(*each)) for each in listeners.items()]
    try:
        yield {name: each.getsockname()[1] for name, each in listeners.items()}
    finally:
        for server in servers:
            call(server.drain(1.0, closes_idle=True))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for each in (*listeners.values(), *journals):
            each.close()


def chunked(body, sizes):
    """Return a body in chunks."""
    pieces, start = [], 0
    for size in sizes:
        piece, start = body[start : start + size], start + size
        if piece:
            pieces.append(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece))
    rest = body[start:]
    if rest:
        pieces.append(b"%x\r\n%s\r\n" % (len(rest), rest))
    return b"".join(pieces) + b"0\r\n\r\n"


@st.composite
def messages(draw):
    """Return a spec's name and what is sent: a request, and what is wrong with it."""
    spec, is_v2, body, content_type = draw(requests())
    name = next(name for name, each in SPECS.items() if each is spec)
    method, path = b"POST", V2_INFER if is_v2 else b"/invocations"
    kind = (
        content_type.encode("utf-8", "replace").replace(b"\n", b"").replace(b"\r", b"")
    )
    token, more = TOKEN, []
    wrong = draw(st.sampled_from(["body"] * 5 + ["method", "path", "header", "token"]))
    if wrong == "method":
        method = draw(st.sampled_from(METHODS))
    elif wrong == "path":
        path = draw(st.sampled_from(PATHS))
        method = draw(st.sampled_from([b"GET", b"POST"]))
    elif wrong == "header":
        more = draw(st.lists(st.sampled_from(HEADERS), min_size=1, max_size=3))
    elif wrong == "token":
        token = b"authorization: " + draw(st.binary(max_size=9)) + b"\r\n"
    base = draw(st.sampled_from(BASES))
    head = b"%s %s%s HTTP/1.1\r\n%s%scontent-type: %s\r\n" % (
        *(method, base, path, HOST, token, kind),
    )
    head += b"".join(line + b"\r\n" for line in more)
    how = draw(st.sampled_from(["length"] * 4 + ["chunked", "wrong length", "none"]))
    if how == "chunked":
        sizes = draw(st.lists(st.integers(1, 50), max_size=4))
        head, body = head + b"transfer-encoding: chunked\r\n", chunked(body, sizes)
    elif how != "none":
        length = len(body)
        if how == "wrong length":
            length = max(0, length + draw(st.integers(-5, 5)))
        head += b"content-length: %d\r\n" % length
    message = head + b"\r\n" + body
    match draw(st.sampled_from(["whole"] * 6 + ["cut", "twice", "garbage", "noise"])):
        case "cut":
            message = message[: draw(st.integers(0, len(message)))]
        case "twice":
            message *= draw(st.integers(2, 20))
        case "garbage":
            message += draw(st.binary(min_size=1, max_size=200))
        case "noise":
            at = draw(st.integers(0, len(message)))
            message = message[:at] + draw(st.binary(max_size=4)) + message[at + 2 :]
    return name, message


def answer_to(port, message):
    """Return what is answered until the connection is closed; a hang is an error."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
        pieces = []
        with suppress(ConnectionResetError):
            while piece := connection.recv(65_536):
                pieces.append(piece)
    return b"".join(pieces)


def check_answer(answer):
    statuses = [int(each) for each in re.findall(rb"(?m)^HTTP/1\.1 (\d+)", answer)]
    assert all(status < 500 for status in statuses), answer
    for trace in (b"Traceback", b'File "', b".py", b"site-packages"):
        assert trace not in answer
    return statuses


@pytest.mark.parametrize(
    ("n_requests", "n_refused"),
    [(500, 200), pytest.param(50_000, 25_000, marks=pytest.mark.slow)],
)
def test_a_bad_request_is_refused_and_the_next_one_answered(
    n_requests, n_refused, tmp_path
):
    refused = 0
    with serving(tmp_path) as ports:
        ping = b"GET /ping HTTP/1.1\r\nconnection: close\r\n" + HOST + TOKEN + b"\r\n"

        @settings(
            max_examples=n_requests,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(messages())
        def check(message):
            nonlocal refused
            name, sent = message
            statuses = check_answer(answer_to(ports[name], sent))
            refused += any(400 <= status < 500 for status in statuses)

        check()
        for port in ports.values():
            assert check_answer(answer_to(port, ping)) == [200]
    assert refused >= n_refused


def test_half_a_character_in_a_name_is_refused(endpoint_port):
    for path, body in (
        (b"/invocations", rb'{"inputs": {"\ud800": [1]}}'),
        (b"/feedback", rb'{"request_id": "\ud800", "label": "\ud800"}'),
        (
            V2_INFER,
            rb'{"inputs": [{"name": "\ud800", "shape": [1], "data": ["\ud800"], '
            rb'"datatype": "BYTES"}], "id": "\ud800"}',
        ),
    ):
        head = b"POST %s HTTP/1.1\r\n" % path + HOST + TOKEN + JSON
        length = b"content-length: %d\r\n\r\n" % len(body)
        assert check_answer(answer_to(endpoint_port, head + length + body)) == [400]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("method", [b"GET", b"POST", b"CONNECT"])
def test_no_header_is_too_odd(header, method, endpoint_port):
    for token in (TOKEN, b""):
        for end in (b"", b"content-length: 2\r\n"):
            head = b"%s /ping HTTP/1.1\r\n%s%s\r\n" % (method, HOST + token, header)
            check_answer(answer_to(endpoint_port, head + end + b"\r\n{}" * 3))


@pytest.fixture(scope="module")
def endpoint_port(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("endpoints")) as ports:
        yield ports["frame"]
