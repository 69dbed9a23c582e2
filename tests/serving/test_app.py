import asyncio
import json
import logging
import threading

import httpx
import pytest

from nbmlops.entities import Column
from nbmlops.scoring.signature import InputSpec
from nbmlops.serving.app import make_app
from nbmlops.serving.model import ServedModel, load

TOKEN = "t0k3n"  # noqa: S105
BASE = "http://127.0.0.1:8000/endpoints/credit"
HEADERS = {"authorization": f"Bearer {TOKEN}"}


def model_that(predict, *, name="credit"):
    spec = InputSpec(kind="frame", columns=(Column(name="x", type="double"),))
    return ServedModel(name=name, version=3, spec=spec, predict=predict)


def client_of(model, *, token=TOKEN, max_request_bytes=100_000):
    app = make_app(
        model, endpoint="credit", token=token, max_request_bytes=max_request_bytes
    )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, headers=HEADERS)


def send(method, path, *, model=None, client=None, **options):
    async def ask():
        async with client or client_of(model) as open_client:
            return await open_client.request(method, BASE + path, **options)

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def served(model_folder):
    return load(model_folder, name="credit", version=3)


def test_it_answers_as_mlflows_own_server_does(served, model_folder, applicants):
    import mlflow.pyfunc
    from mlflow.pyfunc import scoring_server

    reference = mlflow.pyfunc.load_model(str(model_folder))
    rows = applicants.drop(3).head(20)
    records = rows.to_dict("records")
    columns = rows.to_dict("list")
    for content_type, body in [
        ("application/json", {"dataframe_split": rows.to_dict("split")}),
        ("application/json", {"dataframe_records": records}),
        ("application/json", {"instances": records}),
        ("application/json", {"inputs": columns}),
        ("application/json", {"inputs": records}),
        ("text/csv", rows.to_csv(index=False)),
    ]:
        text = body if isinstance(body, str) else json.dumps(body)
        expected = scoring_server.invocations(
            text, content_type, reference, reference.metadata.get_input_schema()
        )
        answer = send(
            "POST",
            "/invocations",
            model=served,
            content=text,
            headers={"content-type": content_type},
        )
        assert answer.status_code == 200
        assert answer.json() == json.loads(expected.response)


def test_its_predictions_are_the_models_own_gaps_included(served, pipeline, applicants):
    rows = applicants.head(50)
    split = json.loads(rows.to_json(orient="split", double_precision=15))
    body = {"dataframe_split": split}
    answer = send("POST", "/invocations", model=served, json=body)
    assert answer.json()["predictions"] == pipeline.predict(rows).tolist()


@pytest.mark.parametrize("path", ["/ping", "/health", "/version"])
def test_health_routes_answer_and_say_who_they_are(served, path):
    answer = send("GET", path, model=served)
    assert answer.status_code == 200
    assert answer.headers["x-model-version"] == "credit/3"
    assert len(answer.headers["x-request-id"]) == 32


def test_version_is_mlflows_as_on_its_server(served):
    import mlflow

    assert send("GET", "/version", model=served).text == mlflow.__version__


def test_a_name_no_header_can_carry_is_quoted():
    answer = send("GET", "/ping", model=model_that(len, name="crédit ☃"))
    assert answer.headers["x-model-version"] == "cr%C3%A9dit %E2%98%83/3"


def test_bad_input_says_what_and_where_and_nothing_of_the_machine(served):
    row = {"Age": "old", "Income": 1, "Home": "own"}
    body = {"dataframe_records": [row]}
    answer = send("POST", "/invocations", model=served, json=body)
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "UsageError",
        "message": "Row 0, column 'Age': 'old' is not a number.",
        "fix": "Send a number (double in the model's signature).",
    }


def test_a_model_that_raises_is_500_with_an_id_and_the_trace_in_the_log(caplog):
    def predict(rows):
        raise RuntimeError("secret of /home/someone")

    body = {"inputs": {"x": [1]}}
    with caplog.at_level(logging.ERROR):
        answer = send("POST", "/invocations", model=model_that(predict), json=body)
    assert answer.status_code == 500
    request_id = answer.headers["x-request-id"]
    assert request_id in answer.json()["message"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert any(request_id in m and "secret" in m for m in caplog.messages)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/invocations", 405),
        ("DELETE", "/ping", 405),
        ("GET", "/../other/ping", 404),
    ],
)
def test_an_unknown_route_or_method_is_reported_in_json(served, method, path, status):
    answer = send(method, path, model=served)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "message", "fix"}


def test_a_large_body_is_413_whether_its_length_is_said_or_not(served):
    async def chunks():
        for _ in range(100):
            yield b"x" * 2000

    for content in (b"x" * 100_001, chunks()):
        answer = send("POST", "/invocations", model=served, content=content)
        assert answer.status_code == 413
        assert "100000 bytes" in answer.json()["message"]
        assert answer.headers["connection"] == "close"


def test_a_compressed_body_and_another_content_type_are_415(served):
    for headers in (
        {"content-encoding": "gzip", "content-type": "application/json"},
        {"content-type": "application/xml"},
        {},
    ):
        answer = send(
            "POST", "/invocations", model=served, content=b"{}", headers=headers
        )
        assert answer.status_code == 415


def test_ping_answers_while_a_prediction_takes_its_time():
    entered, may_end = threading.Event(), threading.Event()

    def predict(rows):
        entered.set()
        assert may_end.wait(30)
        return [0] * len(rows)

    async def ask():
        async with client_of(model_that(predict)) as client:
            body = {"inputs": {"x": [1]}}
            slow = asyncio.create_task(client.post(BASE + "/invocations", json=body))
            assert await asyncio.to_thread(entered.wait, 30)
            ping = await client.get(BASE + "/ping")
            was_done = slow.done()
            may_end.set()
            return ping, was_done, await slow

    ping, was_done, slow = asyncio.run(ask())
    assert (ping.status_code, was_done) == (200, False)
    assert slow.json() == {"predictions": [0]}


def test_more_requests_than_can_wait_are_503_with_a_time_to_come_back():
    may_end = threading.Event()

    def predict(rows):
        assert may_end.wait(30)
        return [0]

    async def ask():
        async with client_of(model_that(predict)) as client:
            body = {"inputs": {"x": [1]}}
            tasks = [
                asyncio.create_task(client.post(BASE + "/invocations", json=body))
                for _ in range(80)
            ]
            refused = await next(asyncio.as_completed(tasks, timeout=30))
            may_end.set()
            return refused, [task.status_code for task in await asyncio.gather(*tasks)]

    first, statuses = asyncio.run(ask())
    assert first.status_code == 503
    assert first.headers["retry-after"] == "1"
    assert statuses.count(200) == 64
    assert statuses.count(503) == 16
