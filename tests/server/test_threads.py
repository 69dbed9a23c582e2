"""Calls off the loop: bounded, apart from each other, and never in the way."""

import asyncio
import json
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from nbmlops.errors import NotFoundError, StoreError
from nbmlops.server import _route
from nbmlops.server._threads import BusyError, Threads
from nbmlops.store import embedded


@pytest.fixture
def release():
    """Return an event that what hangs waits for; it is set when the test is over."""
    event = threading.Event()
    yield event
    event.set()


async def test_what_the_work_returns_or_raises_comes_back():
    threads = Threads()
    assert await threads.run("a", lambda: 42) == 42
    with pytest.raises(NotFoundError):
        await threads.run("a", lambda: (_ for _ in ()).throw(NotFoundError("", fix="")))
    with pytest.raises(TimeoutError, match="the work's own"):
        await threads.run(
            "a",
            lambda: (_ for _ in ()).throw(TimeoutError("the work's own")),
            timeout_s=5,
        )


async def test_a_full_lane_refuses_and_leaves_the_others_alone(release):
    threads = Threads(limit=2, patience_s=0.05)
    hung = [asyncio.ensure_future(threads.run("a", release.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError) as caught:
        await threads.run("a", lambda: 1)
    assert caught.value.status == 503
    assert await threads.run("b", lambda: 1) == 1
    release.set()
    await asyncio.gather(*hung)
    assert await threads.run("a", lambda: 1) == 1


async def test_a_caller_stops_waiting_and_the_place_stays_taken(release):
    threads = Threads(limit=1, patience_s=0.05)
    with pytest.raises(StoreError, match=r"within 0\.05 seconds"):
        await threads.run("a", release.wait, timeout_s=0.05)
    with pytest.raises(BusyError):
        await threads.run("a", lambda: 1)
    release.set()
    assert await threads.run("a", lambda: 1) == 1


async def test_a_burst_waits_for_its_turn():
    threads = Threads(limit=2)
    done = await asyncio.gather(
        *(threads.run("a", partial(pow, n, 2)) for n in range(20))
    )
    assert done == [n * n for n in range(20)]


def test_a_hung_call_does_not_keep_the_process_from_ending():
    code = """
import asyncio, threading
from nbmlops.server._threads import Threads
async def main():
    asyncio.ensure_future(Threads().run("a", threading.Event().wait))
    await asyncio.sleep(0.1)
asyncio.run(main())
print("ended")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "ended\n", done.stderr


@pytest.fixture
def hung_server(monkeypatch):
    """Set a tracking server that takes connections and never answers."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        yield listener


async def worst_status_s(jp_fetch, until):
    """Return the longest that Jupyter's own status took meanwhile."""
    worst, n = 0.0, 0
    while not until():
        before = time.perf_counter()
        await jp_fetch("api/status")
        worst, n = max(worst, time.perf_counter() - before), n + 1
        await asyncio.sleep(0.01)
    assert n > 3
    return worst


async def test_a_hung_tracking_server_holds_up_nobody_else(
    call, jp_fetch, hung_server, project, monkeypatch
):
    import mlflow  # noqa: F401 - the import is no part of this

    monkeypatch.setattr(_route, "READ_TIMEOUT_S", 5.0)
    hung = [asyncio.ensure_future(call("GET", "models")) for _ in range(20)]
    listening = asyncio.ensure_future(call("GET", "runs"))
    worst_s = await worst_status_s(jp_fetch, lambda: all(h.done() for h in hung))
    assert worst_s < 4
    answers = [each.result() for each in hung]
    assert [s for s, _ in answers].count(502) == 8
    assert [s for s, _ in answers].count(503) == 12
    for status, error in answers:
        assert error["error"] == {502: "StoreError", 503: "BusyError"}[status]
        assert "tracking server" in error["fix"]
    assert (await call("GET", "endpoints"))[0] == 200
    assert (await call("GET", "project"))[0] == 200
    await listening
    hung_server.close()


async def test_a_tracking_server_that_is_gone_is_reported(call, hung_server, project):
    hung_server.close()
    status, error = await call("GET", "models")
    assert (status, error["error"]) == (502, "StoreError")
    assert "MLFLOW_TRACKING_URI" in error["fix"]


async def test_a_locked_database_holds_up_nobody_else(
    call, jp_fetch, recorded, project, monkeypatch
):
    assert (await call("GET", "models"))[0] == 200
    lock = sqlite3.connect(embedded.database(project / ".nbmlops"))
    try:
        lock.execute("BEGIN IMMEDIATE")
        write = asyncio.ensure_future(
            call("PUT", "models/credit/aliases/champion", {"version": 1})
        )
        started = time.monotonic()
        worst_s = await worst_status_s(
            jp_fetch, lambda: write.done() or time.monotonic() - started > 5
        )
        assert worst_s < 4
        assert not write.done()
        assert (await call("GET", "models"))[0] == 200
    finally:
        lock.rollback()
        lock.close()
    assert (await write)[0] == 200


def test_the_server_starts_without_mlflow_and_answers_without_it(project):
    code = """
import json, sys
from pathlib import Path
from jupyter_server.serverapp import ServerApp
app = ServerApp()
app.initialize(
    argv=["--allow-root", "--no-browser", "--port=0"], new_httpserver=False
)
from nbmlops.server.resources import endpoints, models, project
from nbmlops.server._request import Request
assert "nbmlops" in app.extension_manager.extension_apps
request = Request(root=Path.cwd())
project.get(request), endpoints.list_endpoints(request), models.list_models(request)
heavy = ("mlflow", "pandas", "sklearn", "papermill", "numpy", "skops")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    config = {"ServerApp": {"jpserver_extensions": {"nbmlops": True}}}
    (project / "jupyter_server_config.json").write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
