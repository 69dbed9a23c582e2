"""``openapi.json`` against the router, and docs/rest.md against both."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from nbmlops.server._route import ROUTES

from .conftest import SAMPLES, nbmlops_rules

PAGE = Path(__file__).parents[2] / "docs/rest.md"


def read_sample(name):
    return json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))


async def test_the_description_is_that_of_the_router(
    call, jp_serverapp, jp_base_url, keep_sample
):
    status, document = await call("GET", "openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    described = {
        (path, method.upper())
        for path, operations in document["paths"].items()
        for method in operations
    }
    routed = {
        (rule.matcher.regex.pattern, method)
        for rule in nbmlops_rules(jp_serverapp)
        for method in rule.target_kwargs["routes"]
    }
    assert len(routed) == len(described) == len(ROUTES)
    for path, method in described:
        filled = jp_base_url + "nbmlops/api" + re.sub(r"\{\w+\}", "x", path)
        assert [p for p, m in routed if m == method and re.match(p, filled)]
    known = read_sample("openapi")
    keep_sample("openapi", document)
    assert document | {"info": known["info"]} == known, "now `jlpm wire`"


async def test_every_reference_in_the_description_resolves(call):
    _, document = await call("GET", "openapi.json")
    found = re.findall(r"#/components/schemas/(\w+)", str(document))
    schemas = document["components"]["schemas"]
    assert {"Run", "ModelVersion", "EndpointDetail", "Error"} <= set(found)
    assert set(found) <= set(schemas)
    assert schemas["Endpoint"]["properties"]["state"]["enum"][0] == "starting"
    assert "alias" in schemas["Endpoint"]["required"]


def test_the_page_of_the_documentation_names_every_route_and_parameter():
    rows = dict(re.findall(r"^\| `(\w+ [^`]+)` \| (.*?) \|", PAGE.read_text(), re.M))
    assert set(rows) == {f"{route.method} {route.path}" for route in ROUTES}
    for route in ROUTES:
        row = rows[f"{route.method} {route.path}"]
        assert re.findall(r"(\w+)=", row) == list(route.query), route
        for name in route.body or ():
            assert name in row


@pytest.mark.parametrize(
    ("sample", "path"),
    {
        "project": "/project",
        "models": "/models",
        "model": "/models/{name}",
        "versions": "/models/{name}/versions",
        "history": "/models/{name}/history",
        "audit": "/audit",
        "version_detail": "/models/{name}/versions/{version}",
        "runs": "/runs",
        "run": "/runs/{id}",
        "comparison": "/runs/compare",
        "endpoints": "/endpoints",
        "endpoint": "/endpoints/{name}",
        "metrics": "/endpoints/{name}/metrics",
        "pipeline": "/pipelines",
        "live_run": "/pipelines/runs/{id}",
        "step_form": "/steps",
    }.items(),
)
def test_an_answer_is_as_the_description_has_it(sample, path):
    document, answer = read_sample("openapi"), read_sample(sample)
    responses = document["paths"][path]["get"]["responses"]
    schema = responses["200"]["content"]["application/json"]["schema"]
    components = {"components": document["components"]}
    jsonschema.Draft202012Validator(schema | components).validate(answer)
