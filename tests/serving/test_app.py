import asyncio
import json
import logging
import re
import socket
import threading
from contextlib import asynccontextmanager

import httpx
import pytest

from nbmlops.deployment.request_log import read_log
from nbmlops.entities import Column
from nbmlops.scoring.signature import InputSpec
from nbmlops.serving.app import EndpointApp, Limits
from nbmlops.serving.http.server import HttpServer
from nbmlops.serving.model import ServedModel, load
from nbmlops.serving.request_log.feedback import Feedback
from nbmlops.serving.request_log.journal import Journal
from nbmlops.serving.request_log.requests import RequestLog

TOKEN = "t0k3n"  # noqa: S105
LIMITS = Limits(body_bytes=100_000)
HEADERS = {"authorization": f"Bearer {TOKEN}"}


def model_that(predict, *, name="credit"):
    spec = InputSpec(kind="frame", columns=(Column(name="x", type="double"),))
    return ServedModel(name=name, version=3, spec=spec, predict=predict)


@asynccontextmanager
async def client_of(model, *, token=TOKEN, limits=LIMITS, **options):
    """Yield a client of an endpoint that answers in this event loop."""
    app = EndpointApp(model, endpoint="credit", token=token, limits=limits, **options)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        server = HttpServer(app, listener)
        server.accept()
        port = listener.getsockname()[1]
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}/endpoints/credit",
            headers=HEADERS,
            timeout=30,
            limits=httpx.Limits(max_connections=None),
        ) as client:
            yield client
        await server.drain(1.0)


def send(method, path, *, model, token=TOKEN, **options):
    async def ask():
        async with client_of(model, token=token) as client:
            return await client.request(method, path, **options)

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
        "faults": [{"row": 0, "column": "Age", "problem": "'old' is not a number"}],
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
            slow = asyncio.create_task(client.post("/invocations", json=body))
            assert await asyncio.to_thread(entered.wait, 30)
            ping = await client.get("/ping")
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
                asyncio.create_task(client.post("/invocations", json=body))
                for _ in range(80)
            ]
            in_order = asyncio.as_completed(tasks, timeout=30)
            refused = [await next(in_order) for _ in range(16)]
            may_end.set()
            return refused, await asyncio.gather(*tasks)

    refused, answers = asyncio.run(ask())
    assert {answer.status_code for answer in refused} == {503}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert [answer.status_code for answer in answers].count(200) == 64


def test_rows_that_wait_together_are_scored_in_one_call_each_with_its_own_answer():
    calls, may_end = [], threading.Event()

    def predict(rows):
        calls.append(len(rows))
        assert len(calls) > 1 or may_end.wait(30)
        return rows.x.to_numpy() * 10

    async def ask():
        async with client_of(model_that(predict)) as client:
            bodies = [{"inputs": {"x": [i, i + 0.5]}} for i in range(20)]
            tasks = [
                asyncio.create_task(client.post("/invocations", json=body))
                for body in bodies
            ]
            metrics = ""
            while "nbmlops_queue" not in metrics or "queue{" not in metrics:
                metrics = (await client.get("/metrics")).text
            while _value(metrics, "nbmlops_requests_in_flight{") < 20:
                metrics = (await client.get("/metrics")).text
            may_end.set()
            return [answer.json() for answer in await asyncio.gather(*tasks)]

    answers = asyncio.run(ask())
    expected = [{"predictions": [10.0 * i, 10.0 * i + 5]} for i in range(20)]
    assert answers == expected
    assert sum(calls) == 40
    assert len(calls) <= 3


def _value(metrics, start):
    lines = [line for line in metrics.splitlines() if line.startswith(start)]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def test_a_row_the_model_raises_on_fails_alone():
    def predict(rows):
        if (rows.x == 3).any():
            raise ValueError("no threes")
        return rows.x.to_numpy()

    async def ask():
        async with client_of(model_that(predict)) as client:
            return await asyncio.gather(
                *(
                    client.post("/invocations", json={"inputs": {"x": [i]}})
                    for i in range(8)
                )
            )

    answers = asyncio.run(ask())
    assert [a.status_code for a in answers] == [200] * 3 + [500] + [200] * 4
    assert [a.json()["predictions"] for a in answers if a.status_code == 200] == [
        [float(i)] for i in range(8) if i != 3
    ]


def test_each_answer_carries_where_its_time_went(served, applicants):
    rows = applicants.drop(3).head(2)
    body = {"dataframe_split": rows.to_dict("split")}
    answer = send("POST", "/invocations", model=served, json=body)
    parts = dict(
        part.split(";dur=") for part in answer.headers["server-timing"].split(", ")
    )
    total = float(parts.pop("total"))
    assert set(parts) == {*("read", "parse", "validate", "queue", "predict", "write")}
    assert sum(map(float, parts.values())) == pytest.approx(total, abs=0.01)


def test_metrics_count_what_was_answered(served):
    async def ask():
        async with client_of(served) as client:
            for content in (b"{}", b"{}", b"["):
                await client.post("/invocations", content=content)
            return (await client.get("/metrics")).text

    metrics = asyncio.run(ask())
    labels = 'endpoint="credit",role="champion",status="415",version="credit/3"'
    assert f"nbmlops_requests_total{{{labels}}} 3.0" in metrics


@pytest.mark.parametrize(
    "head",
    [b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET /" + b"x" * 70_000],
)
def test_what_is_no_http_is_answered_and_closed(head):
    async def ask():
        async with client_of(model_that(len)) as client:
            port = client.base_url.port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return answer, (await client.get("/ping")).status_code

    answer, status = asyncio.run(ask())
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    assert status == 200


def test_requests_in_one_piece_are_answered_in_their_order():
    async def ask():
        async with client_of(model_that(lambda rows: rows.x.to_numpy())) as client:
            port = client.base_url.port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for i in range(20):
                body = b'{"inputs": {"x": [%d]}}' % i
                writer.write(
                    b"POST /endpoints/credit/invocations HTTP/1.1\r\n"
                    b"host: localhost\r\n"
                    b"authorization: Bearer t0k3n\r\ncontent-type: application/json\r\n"
                    b"content-length: %d\r\n%s\r\n%s"
                    % (len(body), b"connection: close\r\n" * (i == 19), body)
                )
            answer = await asyncio.wait_for(reader.read(), 30)
            writer.close()
            return answer

    answer = asyncio.run(ask())
    found = [float(x) for x in re.findall(rb'"predictions":\[([0-9.]+)\]', answer)]
    assert found == [float(i) for i in range(20)]


def test_requests_and_their_labels_are_in_the_log(served, applicants, tmp_path):
    columns, bounds = served.spec.columns, {"most_bytes": 10**8, "most_days": 9}
    journal = Journal(
        log=RequestLog(tmp_path / "requests", columns, **bounds),
        feedback=Feedback(tmp_path / "feedback", **bounds),
    )
    rows = applicants.drop(3).head(2)

    async def ask():
        async with client_of(served, journal=journal) as client:
            split = {
                "dataframe_split": rows[["Home", "Age", "Income"]].to_dict("split")
            }
            good = await client.post("/invocations", json=split)
            bad = await client.post("/invocations", json={"inputs": {"Age": ["x"]}})
            label = {
                "request_id": good.headers["x-request-id"],
                "label": ["good", "bad"],
            }
            taken = await client.post("/feedback", json=label)
            wrong = await client.post("/feedback", json={**label, "more": 1})
            return good, bad, taken.status_code, wrong.status_code

    good, bad, *statuses = asyncio.run(ask())
    journal.close()
    assert statuses == [202, 400]
    log = read_log(tmp_path / "requests", labels=tmp_path / "feedback")
    log = log.sort_values(["status", "row"])
    assert log.request_id.tolist() == [good.headers["x-request-id"]] * 2 + [
        bad.headers["x-request-id"]
    ]
    assert log["in.Age"].tolist()[:2] == rows.Age.tolist()
    assert log["in.Home"].tolist()[:2] == rows.Home.tolist()
    assert log.prediction.tolist()[:2] == good.json()["predictions"]
    assert log.label.tolist()[:2] == ["good", "bad"]
    assert log.status.tolist() == [200, 200, 400]
    assert set(log.version) == {3}


def test_a_model_that_takes_too_long_is_504_and_those_behind_it_too():
    may_end, calls = threading.Event(), []

    def predict(rows):
        calls.append(rows.x.tolist())
        assert may_end.wait(30)
        return rows.x.to_numpy()

    async def ask():
        limits = Limits(predict_s=0.2)
        model = model_that(predict)
        async with client_of(model, limits=limits, is_batching=False) as client:

            def post(i):
                return client.post("/invocations", json={"inputs": {"x": [i]}})

            late = await asyncio.gather(*map(post, range(3)))
            may_end.set()
            return late, await post(9)

    late, answer = asyncio.run(ask())
    assert {each.status_code for each in late} == {504}
    assert "0.2 s" in late[0].json()["message"]
    assert answer.json() == {"predictions": [9.0]}
    assert calls == [[0.0], [9.0]]


def test_what_the_model_predicts_and_json_cannot_say_is_500_for_it_alone():
    def predict(rows):
        return ["\ud800" if each == 3 else "good" for each in rows.x]

    async def ask():
        async with client_of(model_that(predict)) as client:
            bodies = [{"inputs": {"x": [i]}} for i in range(6)]
            return await asyncio.gather(
                *(client.post("/invocations", json=body) for body in bodies)
            )

    answers = asyncio.run(ask())
    assert [each.status_code for each in answers] == [200, 200, 200, 500, 200, 200]
    assert answers[3].headers["x-request-id"] in answers[3].json()["message"]


def test_a_model_that_exits_is_500_and_the_endpoint_goes_on():
    def predict(rows):
        if (rows.x == 3).any():
            raise SystemExit(3)
        return rows.x.to_numpy()

    async def ask():
        async with client_of(model_that(predict)) as client:
            bodies = [{"inputs": {"x": [i]}} for i in (1, 3, 2)]
            return [await client.post("/invocations", json=body) for body in bodies]

    assert [each.status_code for each in asyncio.run(ask())] == [200, 500, 200]
