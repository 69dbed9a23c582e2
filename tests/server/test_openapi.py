"""``openapi.json`` against the router, and docs/rest.md against both."""

import re
from pathlib import Path

from nbmlops.server.routes import ROUTES

from .conftest import nbmlops_rules

TOKENS = Path(__file__).parents[2] / "labextension/src/tokens.ts"
PAGE = Path(__file__).parents[2] / "docs/rest.md"


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
    keep_sample("openapi", document)


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


async def test_what_may_be_null_on_the_wire_may_be_null_in_typescript(call):
    _, document = await call("GET", "openapi.json")
    schemas = document["components"]["schemas"]
    interfaces = re.findall(
        r"^export interface I(\w+)(?: extends \w+)? \{\n(.*?)^\}",
        TOKENS.read_text(),
        re.M | re.S,
    )
    compared = 0
    for name, body in interfaces:
        schema = schemas.get(name)
        for field, type_ in re.findall(r"^  (\w+): (.*);$", body, re.M):
            found = (schema or {}).get("properties", {}).get(field)
            if found is not None:
                compared += 1
                may_be_null = "null" in str(found)
                assert may_be_null == ("null" in type_), f"{name}.{field}: {type_}"
    assert compared > 40
