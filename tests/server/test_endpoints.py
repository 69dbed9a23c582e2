"""``endpoints``: deployed, listed, asked and removed over REST."""

import json

from nbmlops.config import load_settings
from nbmlops.deployment import local, records


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
        for endpoint in local.list_endpoints(settings):
            local.undeploy(settings, endpoint.name)


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
