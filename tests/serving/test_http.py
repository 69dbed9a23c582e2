"""What is not quite HTTP, or more of it than one expects."""

import asyncio
import logging
import re
import threading

import pytest

from nbmlops.serving.app import EndpointApp

from .test_app import client_of, model_that

HEAD = b"host: localhost\r\nauthorization: Bearer t0k3n\r\n"
PING = b"GET /ping HTTP/1.1\r\n" + HEAD
PREDICT = b"POST /invocations HTTP/1.1\r\ncontent-type: application/json\r\n" + HEAD
BODY = b'{"inputs": {"x": [%d]}}'


def predict(i, more=b""):
    body = BODY % i
    return PREDICT + more + b"content-length: %d\r\n\r\n" % len(body) + body


def exchange(*pieces, model=None, is_closing=False):
    """Return all that is answered to what is sent over one connection."""

    async def ask():
        async with client_of(model or model_that(lambda rows: rows.x)) as client:
            port = client.base_url.port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if is_closing:
                writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), 30)
            writer.close()
            return answer

    return asyncio.run(ask())


def statuses(answer):
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d+)", answer)]


def test_thousands_of_requests_behind_a_slow_one_are_answered():
    entered, may_end = threading.Event(), threading.Event()

    def slow(rows):
        entered.set()
        assert may_end.wait(30)
        return rows.x

    async def ask():
        async with client_of(model_that(slow)) as client:
            port = client.base_url.port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(predict(1) + (PING + b"\r\n") * 3000)
            await asyncio.to_thread(entered.wait, 30)
            other = await client.get("/ping")
            may_end.set()
            writer.write(PING + b"connection: close\r\n\r\n")
            return other, await asyncio.wait_for(reader.read(), 30)

    other, answer = asyncio.run(ask())
    assert other.status_code == 200
    assert statuses(answer) == [200] * 3002


def test_what_precedes_a_bad_request_is_answered_first():
    may_end = threading.Event()

    def slow(rows):
        assert may_end.wait(30)
        return rows.x

    threading.Timer(0.3, may_end.set).start()
    answer = exchange(predict(7) + b"\x00\x01 garbage\r\n\r\n", model=model_that(slow))
    assert statuses(answer) == [200, 400]
    assert b"7.0" in answer


def test_a_client_that_sends_no_more_gets_its_answer():
    answer = exchange(predict(7), is_closing=True)
    assert statuses(answer) == [200]
    assert exchange(predict(7)[:-3], is_closing=True) == b""


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_another_protocol_is_not_spoken_and_the_request_answered(protocol):
    wish = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: %s\r\n" % protocol
    end = PING + b"connection: close\r\n\r\n"
    answer = exchange(predict(7, wish) + PING + wish + b"\r\n" + end)
    assert statuses(answer) == [200, 200, 200]


def test_headers_behind_a_body_are_for_nobody():
    body = BODY % 7
    chunked = PREDICT + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    chunks = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
    trailer = b"content-type: text/csv\r\nauthorization: x\r\n\r\n"
    assert statuses(exchange(chunked + chunks + trailer)) == [200]
    flood = [b"x-%d: 1\r\n" % i * 1000 for i in range(40)]
    assert statuses(exchange(chunked + chunks, *flood)) == [431]


def test_a_failure_of_our_own_is_500_with_an_id_and_in_the_log(caplog, monkeypatch):
    def fail(*_):
        raise RuntimeError("secret of /home/someone")

    monkeypatch.setattr(EndpointApp, "_no_route", fail)
    request = b"GET /nothing HTTP/1.1\r\nconnection: close\r\n" + HEAD + b"\r\n"
    with caplog.at_level(logging.ERROR):
        answer = exchange(request)
    assert statuses(answer) == [500]
    assert b"secret" not in answer
    request_id = re.search(rb"x-request-id: (\w+)", answer)[1].decode()
    assert any(request_id in each for each in caplog.messages)
