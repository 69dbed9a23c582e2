"""``models/{name}/aliases``, ``rollback``, ``history`` and ``audit``."""

import asyncio

import mlflow
import pytest

from nbmlops.server import watcher
from nbmlops.store import connect


@pytest.fixture(autouse=True)
def _ada(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")


async def test_an_alias_moves_from_the_version_that_is_expected(call, recorded):
    alias = "models/credit/aliases/champion"
    body = {"version": 1, "expected": 2, "reason": "worse in June"}
    status, version = await call("PUT", alias, body)
    assert (status, version["version"], version["aliases"]) == (200, 1, ["champion"])
    status, error = await call("PUT", alias, {"version": 2, "expected": 2})
    assert (status, error["error"]) == (409, "ConflictError")
    assert error["message"].startswith("champion of 'credit' is now 1 (by ada, ")
    _, page = await call("GET", "audit", model="credit")
    assert [(e["what"], e["before"], e["after"], e["why"]) for e in page["items"]] == [
        ("alias moved", 2, 1, "worse in June"),
        ("alias noticed", None, 2, ""),
    ]


async def test_an_alias_goes_back_and_its_history_is_known(call, recorded, keep_sample):
    await call("PUT", "models/credit/aliases/champion", {"version": 1})
    status, version = await call("POST", "models/credit/rollback", {"reason": "worse"})
    assert (status, version["version"]) == (200, 2)
    status, history = await call("GET", "models/credit/history")
    assert (status, history["version"]) == (200, 2)
    assert [
        (period["version"], period["is_noticed"]) for period in history["periods"]
    ] == [(2, True), (1, False), (2, False)]
    assert history["periods"][2]["since"].endswith("Z")
    at = history["periods"][1]["since"]
    _, then = await call("GET", "models/credit/history", alias="champion", at=at)
    assert then["version"] == 1
    _, before = await call("GET", "models/credit/history", at="2020-01-01")
    assert (before["version"], before["periods"]) == (None, [])
    keep_sample("history", history)


async def test_changes_come_newest_first_in_pages(call, recorded, keep_sample):
    assert await call("GET", "audit") == (200, {"items": [], "next_page_token": None})
    for version in (1, 2, 1):
        await call("PUT", "models/credit/aliases/champion", {"version": version})
    _, first = await call("GET", "audit", limit=2)
    assert [event["after"] for event in first["items"]] == [1, 2]
    token = first["next_page_token"]
    _, second = await call("GET", "audit", limit=2, page_token=token)
    assert [event["after"] for event in second["items"]] == [1, 2]
    assert second["next_page_token"] is None
    assert (await call("GET", "audit", model="none"))[1]["items"] == []
    hashes = {"previous": "9f2c", "hash": "41d0"}
    items = [event | hashes for event in first["items"]]
    keep_sample("audit", first | {"items": items})


REFUSED = [
    ("PUT", "models/credit/aliases/best", {"version": 1, "expected": 0}, 400),
    ("PUT", "models/credit/aliases/best", {"version": 1, "expected": 2}, 409),
    ("PUT", "models/credit/aliases/best", {"version": 1, "reason": 7}, 400),
    ("POST", "models/credit/rollback", {"alias": "latest"}, 400),
    ("POST", "models/credit/rollback", {"to": 1}, 400),
    ("POST", "models/credit/rollback", {}, 404),  # it named no other version
    ("POST", "models/none/rollback", {}, 404),
    ("GET", "models/none/history", None, 404),
    ("GET", "models/credit/history?alias=none", None, 404),
    ("GET", "models/credit/history?at=noonish", None, 400),
    ("GET", "audit?page_token=x", None, 400),
]


async def test_what_cannot_be_done_is_refused(call, recorded):
    for method, route, body, wanted in REFUSED:
        path, _, query = route.partition("?")
        asked = dict([query.split("=")]) if query else {}
        status, error = await call(method, path, body, **asked)
        assert status == wanted, (route, error)
    _, model = await call("GET", "models/credit")
    assert model["aliases"] == {"champion": 2}


async def test_the_watcher_notices_the_moves_of_a_stock_client(
    call, recorded, jp_serverapp, monkeypatch, http_server_client, jp_auth_header,
    jp_base_url,
):  # fmt: skip
    monkeypatch.setattr(watcher, "_TICK_S", 0.05)
    watchers = jp_serverapp.web_app.settings["nbmlops"].watchers
    client = mlflow.MlflowClient(connect().uri)

    async def noticed():
        _, page = await call("GET", "audit")
        return [event["after"] for event in page["items"]]

    with watchers.subscribe(connect().settings, may_write=True):
        while await noticed() != [2]:  # what was there before
            await asyncio.sleep(0.02)
        client.set_registered_model_alias("credit", "champion", "1")
        while await noticed() != [1, 2]:
            await asyncio.sleep(0.02)
        client.delete_registered_model_alias("credit", "champion")
        while await noticed() != [None, 1, 2]:
            await asyncio.sleep(0.02)
    _, page = await call("GET", "audit")
    assert {(event["what"], event["who"]) for event in page["items"]} == {
        ("alias noticed", "")
    }


async def test_who_may_only_read_has_nothing_written(
    call, recorded, jp_serverapp, monkeypatch
):
    monkeypatch.setattr(watcher, "_TICK_S", 0.05)
    watchers = jp_serverapp.web_app.settings["nbmlops"].watchers
    with watchers.subscribe(connect().settings, may_write=False) as subscriber:
        assert "models" in await subscriber.wait(10)
        await asyncio.sleep(0.2)
    assert await call("GET", "audit") == (200, {"items": [], "next_page_token": None})
