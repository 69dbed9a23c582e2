"""Who gets in: every rule nbmlops added to the router, every method."""

import re
from urllib.parse import urlsplit

import pytest
from jupyter_server.auth.authorizer import Authorizer

from nbmlops.server._route import ROUTES

from .conftest import nbmlops_rules

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")
WRITES = ("POST", "PUT", "DELETE", "PATCH")


class Doorman(Authorizer):
    """Lets nobody do anything to nbmlops, and notes what was asked."""

    asked: list = []  # noqa: RUF012 - shared with the test on purpose

    def is_authorized(self, handler, user, action, resource):
        self.asked.append((action, resource))
        return resource != "nbmlops"


@pytest.fixture(params=[False, True], ids=["only the known", "strangers too"])
def jp_server_config(request, jp_server_config):
    """Run with Jupyter's strict default off and on: ours must hold either way."""
    jp_server_config["ServerApp"]["allow_unauthenticated_access"] = request.param
    return jp_server_config


@pytest.fixture
def urls(jp_serverapp):
    """Return a path for each rule, found in the router."""
    rules = nbmlops_rules(jp_serverapp)
    assert len(rules) == len({route.path for route in ROUTES}) + 1
    return [
        re.sub(r"\(.*?\)(?=/|$)", "x", rule.matcher.regex.pattern.rstrip("$"))
        for rule in rules
    ]


@pytest.fixture
def send(http_server_client):
    """Return a function that sends a request as it is, without the token."""

    async def send(method, url, **headers):
        return await http_server_client.fetch(
            url,
            method=method,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            body=b"{}" if method in ("POST", "PUT", "PATCH") else None,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            raise_error=False,
            request_timeout=5,
        )

    return send


@pytest.fixture
def cookie(send, jp_serverapp, jp_base_url):
    """Return a function that signs in and returns the cookies of that."""

    async def sign_in():
        token = jp_serverapp.identity_provider.token
        answer = await send("GET", f"{jp_base_url}tree?token={token}")
        cookies = [c.split(";")[0] for c in answer.headers.get_list("Set-Cookie")]
        answer = await send(
            "GET", f"{jp_base_url}api/contents", Cookie="; ".join(cookies)
        )
        assert answer.code == 200, "the cookie signs in where Jupyter itself asks"
        cookies += [c.split(";")[0] for c in answer.headers.get_list("Set-Cookie")]
        return "; ".join(cookies)

    return sign_in


async def test_without_a_token_nothing_is_reported(urls, send):
    for url in urls:
        for method in METHODS:
            answer = await send(method, url)
            assert answer.code in (403, 405), (method, url, answer.code)
            assert answer.code == 403 or method == "HEAD"
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert b"item" not in answer.body


async def test_a_wrong_token_is_no_token(urls, send):
    for url in urls:
        for wrong in ({"Authorization": "token wrong"}, {"Cookie": "username-x=y"}):
            assert (await send("GET", url, **wrong)).code == 403, url


async def test_a_write_with_the_cookie_needs_the_xsrf_header(urls, send, cookie):
    cookies = await cookie()
    assert "_xsrf=" in cookies
    without = "; ".join(c for c in cookies.split("; ") if not c.startswith("_xsrf"))
    for url in urls:
        for method in WRITES:
            for sent in (cookies, without):
                answer = await send(method, url, Cookie=sent)
                assert answer.code == 403, (method, url)


async def test_a_page_of_another_site_gets_nothing(
    urls, send, cookie, http_server_client
):
    cookies = await cookie()
    xsrf = re.search(r"_xsrf=([^;]+)", cookies)[1]
    host = urlsplit(http_server_client.get_url("/")).netloc
    for url in urls:
        for method in METHODS:
            answer = await send(
                method,
                url,
                Cookie=cookies,
                X_XSRFToken=xsrf,
                Origin="https://evil.example",
                Host=host,
            )
            assert answer.code in (403, 404, 405), (method, url)
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert b"item" not in answer.body


async def test_the_cookie_with_the_xsrf_header_gets_in(send, cookie, jp_base_url):
    cookies = await cookie()
    xsrf = re.search(r"_xsrf=([^;]+)", cookies)[1]
    url = f"{jp_base_url}nbmlops/api/endpoints/none"
    assert (await send("DELETE", url, Cookie=cookies, X_XSRFToken=xsrf)).code == 404
    assert (
        await send("GET", f"{jp_base_url}nbmlops/api/models", Cookie=cookies)
    ).code == 200


async def test_the_authorizer_is_asked_before_anything_is_done(
    jp_configurable_serverapp, jp_server_config, call, jp_serverapp, monkeypatch
):
    monkeypatch.setattr(Doorman, "asked", [])
    doorman = Doorman(parent=jp_serverapp)
    monkeypatch.setitem(jp_serverapp.web_app.settings, "authorizer", doorman)
    for route in ROUTES:
        path = re.sub(r"\{\w+\}", "x", route.path)
        body = b"{nonsense" if route.method in ("POST", "PUT") else None
        status, error = await call(route.method, path, body, nonsense="x")
        assert (status, error["error"]) == (403, "HTTPError"), path
        assert Doorman.asked.pop() == (route.action, "nbmlops")
    assert not Doorman.asked
    executed = {f"{r.method} {r.path}" for r in ROUTES if r.action == "execute"}
    assert executed == {
        "PUT endpoints/{name}",
        "POST endpoints/{name}/predict",
        "PUT endpoints/{name}/canary",
        "POST endpoints/{name}/promote",
        "POST endpoints/{name}/rollback",
        "POST pipelines/runs",
        "DELETE pipelines/runs/{id}",
        "POST steps/runs",
    }
    assert all(r.action != "read" for r in ROUTES if r.method != "GET")
