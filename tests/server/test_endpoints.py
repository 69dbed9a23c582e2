"""``endpoints``: deployed, listed, asked and removed over REST."""

import asyncio
import json
from pathlib import Path

from nbmlops.config import load_settings
from nbmlops.deployment import actions, endpoints, records


async def test_an_endpoint_from_deploy_to_removal(
    call, recorded, project, keep_sample, jp_fetch
):
    settings = load_settings(project)
    try:
        by_alias = {"model": "credit", "alias": "champion"}
        status, made = await call("PUT", "endpoints/credit", by_alias)
        assert status == 201, made
        assert (made["version"], made["alias"], made["state"]) == (
            2,
            "champion",
            "ready",
        )
        assert made["example"]["columns"] == ["Age", "Income"]
        status, again = await call("PUT", "endpoints/credit", by_alias)
        assert (status, again["pid"]) == (200, made["pid"])

        status, page = await call("GET", "endpoints")
        assert status == 200
        assert [(e["name"], e["state"]) for e in page["items"]] == [("credit", "ready")]
        status, detail = await call("GET", "endpoints/credit")
        assert (status, detail) == (200, made)

        rows = {"dataframe_split": made["example"]}
        status, answer = await call("POST", "endpoints/credit/predict", rows)
        assert status == 200, answer
        assert len(answer["predictions"]) == len(made["example"]["data"])
        assert set(answer["predictions"]) <= {"good", "bad"}
        keep_sample("endpoint", made)
        keep_sample("endpoints", page)
        keep_sample("predictions", answer)

        csv = b"Age,Income\n-1,0\n1,0\n"
        response = await jp_fetch(
            "nbmlops/api/endpoints/credit/predict",
            method="POST",
            body=csv,
            headers={"Content-Type": "text/csv"},
        )
        assert json.loads(response.body) == {"predictions": ["bad", "good"]}

        for body, reported in [
            ({"dataframe_records": [{"Age": 1}]}, "Income"),
            (b"{nonsense", "JSON"),
            ({"rows": []}, ""),
        ]:
            status, error = await call("POST", "endpoints/credit/predict", body)
            assert (status, error["error"]) == (400, "UsageError")
            assert reported in error["message"]

        both = {"model": "credit", "version": 1, "alias": "champion"}
        status, moved = await call("PUT", "endpoints/credit", both)
        assert (status, moved["version"], moved["alias"]) == (201, 1, "champion")
        aliases = (await call("GET", "models/credit"))[1]["aliases"]
        assert aliases == {"champion": 1}

        token = records.read_token(settings, "credit")
        for document in (made, page, detail):
            assert token not in str(document)
        assert made["token_path"] == str(records.token_path(settings, "credit"))

        status, error = await call(
            "PUT", "endpoints/credit", {"model": "Churn", "version": 1}
        )
        assert (status, error["error"]) == (409, "ConflictError")
        status, error = await call("GET", "endpoints/credti")
        assert (status, error["error"]) == (404, "NotFoundError")
        assert "'credit'" in error["message"]

        status, nothing = await call("DELETE", "endpoints/credit")
        assert (status, nothing) == (204, None)
        assert (await call("GET", "endpoints"))[1]["items"] == []
        assert (await call("DELETE", "endpoints/credit"))[0] == 404
    finally:
        for endpoint in endpoints.list_endpoints(settings):
            actions.undeploy(settings, endpoint.name)


async def test_a_canary_from_its_share_to_its_promotion_and_back(
    call, recorded, project, keep_sample
):
    settings = load_settings(project)
    try:
        first = {"model": "credit", "version": 1}
        status, made = await call("PUT", "endpoints/credit", first)
        assert status == 201, made
        assert [column["name"] for column in made["columns"]] == ["Age", "Income"]
        token = records.read_token(settings, "credit")
        assert Path(made["token_path"]).read_text("ascii").strip() == token
        assert made["canary_rules"] == {"error_share": 0.05, "min_requests": 100}

        canary = {"version": 2, "share": 0.25, "rules": {"error_share": 0.5}}
        status, begun = await call("PUT", "endpoints/credit/canary", canary)
        assert status == 200, begun
        assert (begun["canary_version"], begun["canary_share"]) == (2, 0.25)
        assert begun["canary_rules"] == {"error_share": 0.5}
        status, more = await call(
            "PUT", "endpoints/credit/canary", canary | {"share": 0.75, "rules": {}}
        )
        assert (status, more["canary_share"], more["pid"]) == (200, 0.75, made["pid"])
        assert more["canary_rules"] == {}

        keep_sample("metrics", (await call("GET", "endpoints/credit/metrics"))[1])

        rows = {"dataframe_split": made["example"]}
        for _ in range(20):
            assert (await call("POST", "endpoints/credit/predict", rows))[0] == 200
        assert (await call("POST", "endpoints/credit/predict", {"x": 1}))[0] == 400
        found = await read_when_counted(call, 21)
        champion, beside = found["versions"]
        assert (champion["role"], champion["version"]) == ("champion", 1)
        assert (beside["role"], beside["version"]) == ("canary", 2)
        assert (champion["share"], beside["share"]) == (0.25, 0.75)
        assert champion["n_refused"] + beside["n_refused"] == 1
        assert champion["n_errors"] + beside["n_errors"] == 0
        for each in (champion, beside):
            if each["n_requests"] > each["n_refused"]:
                assert 0 < each["latency_ms_p50"] <= each["latency_ms_p99"]

        log = records.root(settings) / "credit/log.txt"
        with log.open("a") as file:
            file.write("\n".join(["noise"] * 200 + ["failed with password=hunter2!"]))
        status, found = await call("GET", "endpoints/credit/log")
        assert (status, len(found["lines"])) == (200, 100)
        assert found["lines"][-1].startswith("failed with password=")
        assert "hunter2" not in found["lines"][-1]

        status, promoted = await call("POST", "endpoints/credit/promote")
        assert (status, promoted["version"]) == (200, 2), promoted
        assert (promoted["canary_version"], promoted["previous_version"]) == (None, 1)
        status, back = await call("POST", "endpoints/credit/rollback")
        assert (status, back["version"]) == (200, 1), back
        status, begun = await call("PUT", "endpoints/credit/canary", canary)
        assert status == 200, begun
        status, ended = await call("POST", "endpoints/credit/abort")
        assert (status, ended["canary_version"], ended["version"]) == (200, None, 1)

        for method, route, body, reported in [
            ("POST", "promote", None, "no canary"),
            ("POST", "abort", None, "no canary"),
            ("POST", "rollback", None, "no version to roll back to"),
            ("PUT", "canary", canary | {"share": 1}, "A canary cannot have 1"),
            ("PUT", "canary", canary | {"share": "x"}, "Send a number as 'share'"),
            ("PUT", "canary", canary | {"rules": {"errors": 1}}, "Unknown rule"),
            (
                "PUT",
                "canary",
                canary | {"rules": {"error_share": "1"}},
                "'error_share'",
            ),
        ]:
            status, error = await call(method, f"endpoints/credit/{route}", body)
            assert status == 400, (route, body, error)
            assert reported in f"{error['message']} {error['fix']}"
        status, error = await call(
            "PUT", "endpoints/credit/canary", canary | {"version": 1}
        )
        assert (status, error["error"]) == (409, "ConflictError")
        actions.undeploy(settings, "credit")
        for method, route in [
            ("GET", "metrics"),
            ("GET", "log"),
            ("POST", "promote"),
            ("POST", "abort"),
            ("POST", "rollback"),
            ("PUT", "canary"),
        ]:
            body = canary if method == "PUT" else None
            status, error = await call(method, f"endpoints/credit/{route}", body)
            assert (status, error["error"]) == (404, "NotFoundError"), route
    finally:
        for endpoint in endpoints.list_endpoints(settings):
            actions.undeploy(settings, endpoint.name)


async def read_when_counted(call, n_requests):
    """Return the metrics when so many requests are in them; workers report late."""
    async with asyncio.timeout(30):
        while True:
            status, found = await call("GET", "endpoints/credit/metrics")
            assert status == 200, found
            counted = sum(each["n_requests"] for each in found["versions"])
            if counted == n_requests:
                return found
            assert counted < n_requests
            await asyncio.sleep(0.05)


REFUSED = [
    ("PUT", "endpoints/e", {"model": "credit"}, 400, "an alias or a version"),
    (
        "PUT",
        "endpoints/e",
        {"model": "credit", "alias": "latest", "version": 1},
        400,
        "'latest'",
    ),
    ("PUT", "endpoints/e", {"alias": "champion"}, 400, "'model' is missing"),
    ("PUT", "endpoints/e", {"model": "credit", "alias": ""}, 400, "'alias'"),
    ("PUT", "endpoints/e", {"model": "credit", "alias": "champ"}, 404, "'champion'"),
    ("PUT", "endpoints/e", {"model": "credit", "version": 9}, 404, "No version 9"),
    ("PUT", "endpoints/e", {"model": "none", "version": 1}, 404, "No registered"),
    ("PUT", "endpoints/.e", {"model": "credit", "version": 1}, 400, "'.e'"),
    ("PUT", "endpoints/e", {"model": "credit", "version": 1, "x": 1}, 400, "'x'"),
    ("GET", "endpoints/none", None, 404, "No endpoint 'none'"),
    ("DELETE", "endpoints/none", None, 404, "No endpoint 'none'"),
    ("DELETE", "endpoints/..%2f..", None, 404, "No endpoint"),
    ("POST", "endpoints/none/predict", {}, 404, "No endpoint 'none'"),
]


async def test_what_cannot_be_deployed_is_refused(call, recorded):
    for method, route, body, status, reported in REFUSED:
        answered, error = await call(method, route, body)
        assert answered == status, (route, body, error)
        assert reported in error["message"], (route, body)
    assert (await call("GET", "endpoints"))[1]["items"] == []
