"""``events``: the stream a browser reads."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest
from jupyter_server.utils import url_path_join

from nbmlops.lifecycle.register import register
from nbmlops.server import watcher
from nbmlops.store import connect, embedded


@pytest.fixture
def watchers(jp_serverapp, monkeypatch):
    monkeypatch.setattr(watcher, "_TICK_S", 0.05)
    return jp_serverapp.web_app.settings["nbmlops"].watchers


@pytest.fixture
def listen(http_server_client, jp_auth_header, jp_base_url, watchers):
    """Return a context that opens the stream; it gives the next event."""

    @asynccontextmanager
    async def open_stream(query=""):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", http_server_client.get_http_port()
        )
        url = url_path_join(jp_base_url, "nbmlops/api/events") + query
        token = jp_auth_header["Authorization"]
        head = [
            f"GET {url} HTTP/1.1",
            "Host: localhost",
            f"Authorization: {token}",
            "Connection: close",
        ]
        writer.write("\r\n".join([*head, "", ""]).encode())

        async def line_of(prefix):
            while True:
                line = (await asyncio.wait_for(reader.readline(), 10)).decode()
                assert line, "the stream ended"
                if line.startswith(prefix):
                    return line.removeprefix(prefix).strip()

        async def event():
            name = await line_of("event: ")
            return name, json.loads(await line_of("data: "))

        try:
            event.head = (await reader.readuntil(b"\r\n\r\n")).decode()
            event.line_of = line_of
            yield event
        finally:
            writer.close()

    return open_stream


async def until(condition, limit_s=10):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_the_stream_says_hello_and_then_what_changed(
    listen, recorded, record, store, keep_sample
):
    async with listen() as event:
        assert "200 OK" in event.head
        assert "text/event-stream" in event.head
        assert await event() == ("hello", {})
        await asyncio.to_thread(record, "new", with_model=False)
        assert await event() == ("changed", {"topics": ["runs"]})
        await asyncio.to_thread(
            register,
            "credit",
            run=recorded.first,
            alias="challenger",
            store=store,
        )
        while "models" not in (await event())[1]["topics"]:
            pass


async def test_an_alias_that_moves_is_a_change_of_models(listen, recorded, call):
    async with listen() as event:
        await event()
        await call("PUT", "models/credit/aliases/champion", {"version": 1})
        name, data = await event()
        assert name == "changed"
        assert "models" in data["topics"]


async def test_a_store_that_is_made_later_is_a_change(listen, project):
    async with listen() as event:
        assert await event() == ("hello", {})
        embedded.ensure(project / ".nbmlops")
        assert await event() == ("changed", {"topics": ["models", "runs"]})


async def test_another_store_is_asked_now_and_then(
    listen, tmp_path, monkeypatch, recorded, call, project
):
    from nbmlops.server import changes

    monkeypatch.setattr(changes, "_ASK_STORE_S", 0.1)
    elsewhere = (project / ".nbmlops/mlflow.db").rename(tmp_path / "elsewhere.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere}")
    async with listen() as event:
        assert await event() == ("hello", {})
        await call("PUT", "models/credit/aliases/champion", {"version": 1})
        assert await event() == ("changed", {"topics": ["models"]})
    assert connect().uri.endswith("elsewhere.db")


async def test_quiet_streams_are_kept_open(listen, project, monkeypatch):
    from nbmlops.server import events

    monkeypatch.setattr(events, "_KEEP_ALIVE_S", 0.05)
    async with listen() as event:
        await event()
        assert await event.line_of(":") == ""


async def test_one_thread_watches_a_project_and_ends_with_its_last_reader(
    listen, watchers, project
):
    (project / "inner/.nbmlops").mkdir(parents=True)
    async with listen() as one, listen() as two, listen("?path=inner") as three:
        for event in (one, two, three):
            await event()
        assert sorted(watchers.projects) == [project, project / "inner"]
    await until(lambda: not watchers.projects)


async def test_a_reader_who_may_not_write_has_no_runs_ended_by_opening_a_folder(
    listen, watchers, project, jp_serverapp, monkeypatch
):
    (project / "inner/.nbmlops").mkdir(parents=True)
    async with listen("?path=inner") as event:
        await event()
        assert watchers.writable_projects == [project / "inner"]
    await until(lambda: not watchers.projects)

    async def may_read(handler, user, action, resource):
        return action == "read"

    authorizer = jp_serverapp.web_app.settings["authorizer"]
    monkeypatch.setattr(authorizer, "is_authorized", may_read)
    async with listen("?path=inner") as event:
        await event()
        assert watchers.projects == [project / "inner"]
        assert watchers.writable_projects == []


async def test_streams_end_when_the_server_stops(
    listen, watchers, project, jp_serverapp
):
    async with listen() as event:
        await event()
        await jp_serverapp.cleanup_extensions()
        with pytest.raises(AssertionError, match="the stream ended"):
            await event.line_of("event: ")
    await until(lambda: not watchers.projects)


async def test_too_many_readers_are_reported_so(listen, monkeypatch, call, project):
    monkeypatch.setattr(watcher, "_MAX_SUBSCRIBERS", 1)
    async with listen() as event:
        await event()
        status, error = await call("GET", "events")
        assert (status, error["error"]) == (503, "BusyError")


async def test_listening_and_reading_are_no_sign_of_a_user_at_work(
    listen, call, jp_serverapp, project
):
    settings = jp_serverapp.web_app.settings
    settings.pop("api_last_activity", None)
    async with listen() as event:
        await event()
        await call("GET", "models")
    assert "api_last_activity" not in settings
    await call("DELETE", "endpoints/none")
    assert "api_last_activity" in settings
