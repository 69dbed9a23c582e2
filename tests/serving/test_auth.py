import pytest

from .test_app import TOKEN, model_that, send

ROUTES = [
    ("GET", "/ping"),
    ("GET", "/health"),
    ("GET", "/version"),
    ("POST", "/invocations"),
    ("GET", "/nothing"),
]
BODY = {"inputs": {"x": [1]}}


def ask(method, path, *, token=TOKEN, **headers):
    model = model_that(lambda rows: [0])
    options = {"json": BODY} if method == "POST" else {}
    return send(method, path, model=model, token=token, headers=headers, **options)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "given",
    [
        "",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer é",
    ],
)
def test_no_route_answers_without_the_token(method, path, given):
    answer = ask(method, path, authorization=given.encode("latin-1"))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in answer.text


@pytest.mark.parametrize(("method", "path"), ROUTES[:4])
def test_an_open_endpoint_answers_without(method, path):
    answer = ask(method, path, token=None, authorization="")
    assert answer.status_code == 200


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "10.evil.example:8000"},
        {"host": "127.0.0.1.evil.example"},
        {"host": ""},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost.evil.example"},
    ],
)
def test_another_site_is_refused_even_by_an_open_endpoint(method, path, headers):
    assert ask(method, path, token=None, **headers).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "localhost"])
def test_the_machine_itself_is_served_under_each_of_its_names(host):
    assert ask("GET", "/ping", host=host).status_code == 200
