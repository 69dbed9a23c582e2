"""``models``."""

import pytest

from nbmlops.store.datasets import send_dataset


async def test_models_come_by_name_with_aliases_and_newest_version(
    call, recorded, keep_sample
):
    status, page = await call("GET", "models")
    assert status == 200
    assert [model["name"] for model in page["items"]] == ["Churn", "credit"]
    assert page["items"][1]["aliases"] == {"champion": 2}
    assert page["items"][1]["latest_version"] == 2
    assert page["items"][1]["updated_at"].endswith("Z")
    keep_sample("models", page)


async def test_models_are_paged_and_searched(call, recorded):
    _, first = await call("GET", "models", limit=1)
    assert [model["name"] for model in first["items"]] == ["Churn"]
    _, second = await call(
        "GET", "models", limit=1, page_token=first["next_page_token"]
    )
    assert [model["name"] for model in second["items"]] == ["credit"]
    assert second["next_page_token"] is None
    _, found = await call("GET", "models", search="CRED")
    assert [model["name"] for model in found["items"]] == ["credit"]


async def test_pages_stay_where_they_are_while_models_and_versions_are_added(
    call, recorded, store
):
    client = store.client
    _, first = await call("GET", "models", limit=1)
    client.create_registered_model("Aardvark")
    _, second = await call(
        "GET", "models", limit=1, page_token=first["next_page_token"]
    )
    assert [each["items"][0]["name"] for each in (first, second)] == ["Churn", "credit"]
    _, first = await call("GET", "models/credit/versions", limit=1)
    client.create_model_version("credit", "somewhere")
    token = first["next_page_token"]
    _, second = await call("GET", "models/credit/versions", limit=1, page_token=token)
    assert [each["items"][0]["version"] for each in (first, second)] == [2, 1]
    for token in ("nonsense", "9" * 5000):
        route = "models/credit/versions"
        status, error = await call("GET", route, page_token=token)
        assert (status, "page token" in error["message"]) == (400, True)


async def test_what_has_not_changed_is_not_sent_again(jp_fetch, recorded, store):
    for route in ("models", "models/credit/versions"):
        first = await jp_fetch("nbmlops/api", route)
        known = {"If-None-Match": first.headers["ETag"]}
        again = await jp_fetch("nbmlops/api", route, headers=known, raise_error=False)
        assert (again.code, again.body) == (304, b"")
        store.client.set_registered_model_alias("credit", f"at-{len(route)}", "1")
        changed = await jp_fetch("nbmlops/api", route, headers=known)
        assert changed.code == 200


async def test_a_model_has_its_tags_and_a_version_its_maker_data_and_verdict(
    call, recorded, store
):
    client, run_id = store.client, recorded.second.run_id
    client.set_registered_model_tag("credit", "team", "risk")
    client.set_model_version_tag("credit", "2", "nbmlops.verdict", "passed")
    for digest in ("d1", "d2"):
        data = {"name": "train", "digest": digest, "schema": "{}", "profile": "{}"}
        send_dataset(store, run_id, data | {"context": "training"})
    _, page = await call("GET", "models", search="credit")
    assert page["items"][0]["tags"] == {"team": "risk"}
    _, page = await call("GET", "models/credit/versions")
    newest, oldest = page["items"]
    assert newest["metric_modes"] == {"roc_auc": "max", "log_loss": "min"}
    assert newest["datasets"] == [
        {"name": "train", "digest": digest} for digest in ("d1", "d2")
    ]
    assert (newest["verdict"], oldest["verdict"]) == ("passed", None)
    assert (newest["user"], oldest["datasets"]) == ("unknown", [])


async def test_looking_at_an_untouched_project_finds_nothing_and_makes_nothing(
    call, project
):
    assert await call("GET", "models") == (200, {"items": [], "next_page_token": None})
    assert await call("GET", "runs") == (200, {"items": [], "next_page_token": None})
    for method, route, body in [
        ("GET", "models/credit", None),
        ("GET", f"runs/{'0' * 32}", None),
        ("POST", "models/credit/versions", {"run_id": "0" * 32}),
        ("PUT", "endpoints/credit", {"model": "credit", "version": 1}),
    ]:
        status, error = await call(method, route, body)
        assert (status, error["error"]) == (404, "NotFoundError")
        assert "%%track" in error["fix"]
    assert not list((project / ".nbmlops").iterdir())


async def test_one_model(call, recorded, keep_sample):
    status, model = await call("GET", "models/credit")
    assert (status, model["name"]) == (200, "credit")
    keep_sample("model", model)


async def test_a_missing_model_names_the_nearest_one(call, recorded, keep_sample):
    status, error = await call("GET", "models/credti")
    assert status == 404
    assert error["error"] == "NotFoundError"
    assert error["message"] == ("No registered model 'credti'. Did you mean 'credit'?")
    assert "%register" in error["fix"]
    assert "%%register" not in error["fix"]
    keep_sample("error", error)


async def test_versions_come_newest_first_with_what_their_run_recorded(
    call, recorded, keep_sample
):
    status, page = await call("GET", "models/credit/versions")
    assert status == 200
    newest, oldest = page["items"]
    assert (newest["version"], oldest["version"]) == (2, 1)
    assert newest["aliases"] == ["champion"]
    assert newest["metrics"] == {"roc_auc": 0.83, "log_loss": "Infinity"}
    assert newest["params"] == {"C": "1.0"}
    assert newest["source"] == "notebooks/credit study.ipynb"
    assert newest["run_id"] == recorded.second.run_id
    assert [column["name"] for column in newest["signature"]["inputs"]] == [
        "Age",
        "Income",
    ]
    keep_sample("versions", page)


async def test_versions_are_paged(call, recorded):
    _, first = await call("GET", "models/credit/versions", limit=1)
    token = first["next_page_token"]
    _, second = await call("GET", "models/credit/versions", limit=1, page_token=token)
    assert [page["items"][0]["version"] for page in (first, second)] == [2, 1]


async def test_a_run_is_registered_once_and_gets_its_alias(call, recorded, keep_sample):
    body = {"run_id": recorded.first.run_id, "alias": "champion"}
    status, version = await call("POST", "models/new/versions", body)
    assert (status, version["version"], version["aliases"]) == (201, 1, ["champion"])
    _, again = await call("POST", "models/new/versions", body)
    assert again["version"] == 1
    keep_sample("version", version)


@pytest.mark.parametrize(
    ("spec", "run"),
    [("latest", "second"), ("best:roc_auc", "second"), ("best:roc_auc:min", "first")],
)
async def test_a_run_may_be_the_latest_or_the_best(call, recorded, spec, run):
    body = {"run_id": spec, "experiment": "main"}
    status, version = await call("POST", "models/new/versions", body)
    assert (status, version["run_id"]) == (201, getattr(recorded, run).run_id)
    body = {"run_id": "best:roc_auc"}  # not in the project's own experiment
    status, error = await call("POST", "models/new/versions", body)
    assert (status, "'main' has a run with a model" in error["fix"]) == (404, True)


async def test_an_alias_moves(call, recorded):
    status, version = await call(
        "PUT", "models/credit/aliases/champion", {"version": 1}
    )
    assert (status, version["version"], version["aliases"]) == (200, 1, ["champion"])
    _, model = await call("GET", "models/credit")
    assert model["aliases"] == {"champion": 1}


REFUSED = [
    ("POST", "models/a:b/versions", {"run_id": "RUN"}, 400, "'a:b'"),
    ("POST", "models/m/versions", {"run_id": "0" * 32}, 404, "No run"),
    ("POST", "models/m/versions", {"run_id": "../../etc"}, 404, "No run"),
    ("POST", "models/m/versions", {"run_id": "PLAIN"}, 400, "has no model"),
    ("POST", "models/m/versions", {}, 400, "'run_id' is missing"),
    ("POST", "models/m/versions", {"run_id": 7}, 400, "'run_id' is '7'"),
    ("POST", "models/m/versions", {"run": "x"}, 400, "Did you mean 'run_id'?"),
    ("POST", "models/m/versions", b"{nonsense", 400, "not JSON"),
    ("POST", "models/m/versions", b"[" * 100_000, 400, "not JSON"),
    ("POST", "models/m/versions", b"[]", 400, "no object"),
    (
        "POST",
        "models/m/versions",
        {"run_id": "RUN", "alias": "latest"},
        400,
        "'latest'",
    ),
    ("PUT", "models/credit/aliases/v1", {"version": 1}, 400, "'v1'"),
    ("PUT", "models/credit/aliases/best", {"version": 99}, 404, "No version 99"),
    ("PUT", "models/credit/aliases/best", {"version": True}, 400, "'version'"),
    ("PUT", "models/credit/aliases/best", {"version": "1"}, 400, "whole number"),
    ("PUT", "models/credit/aliases/best", {"version": 0}, 400, "'version'"),
    ("PUT", "models/credit/aliases/best", {"version": 10**30}, 400, "'version'"),
    ("PUT", "models/none/aliases/best", {"version": 1}, 404, "No registered model"),
    ("GET", "models/none/versions", None, 404, "No registered model"),
    ("PUT", "models/credit", {}, 405, "method"),
    ("GET", "model", None, 404, "no such route"),
    ("GET", "no/such/route", None, 404, "no such route"),
]


async def test_what_cannot_be_done_is_refused(call, recorded):
    runs = {"RUN": recorded.first.run_id, "PLAIN": recorded.plain.run_id}
    for method, route, body, status, reported in REFUSED:
        if isinstance(body, dict) and body.get("run_id") in runs:
            body = body | {"run_id": runs[body["run_id"]]}
        answered, error = await call(method, route, body)
        assert answered == status, (route, error)
        assert reported in error["message"] + error["fix"], route
        assert set(error) == {"error", "message", "fix"}
    _, page = await call("GET", "models")
    assert [model["name"] for model in page["items"]] == ["Churn", "credit"]


UNREADABLE = [
    ({"limit": "0"}, "limit is '0'"),
    ({"limit": "201"}, "limit is '201'"),
    ({"limit": "²"}, "limit is"),
    ({"limit": "9" * 5000}, "limit is"),
    ({"limt": "5"}, "Did you mean 'limit'?"),
    ({"page_token": "nonsense"}, "page token"),
    ({"tracking_uri": "sqlite:////tmp/x.db"}, "Unknown parameter"),
]


async def test_a_query_that_cannot_be_read_is_refused(call, recorded):
    for query, reported in UNREADABLE:
        status, error = await call("GET", "models", **query)
        assert (status, error["error"]) == (400, "UsageError"), query
        assert reported.lower() in error["message"].lower()


async def test_a_parameter_given_twice_is_refused(jp_fetch, recorded):
    response = await jp_fetch(
        "nbmlops/api/models", params=[("limit", 1), ("limit", 2)], raise_error=False
    )
    assert response.code == 400
    assert b"2 times" in response.body
