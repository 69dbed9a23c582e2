"""The Open Inference Protocol V2 over HTTP."""

import asyncio
import json
import re
import socket
import threading
from dataclasses import replace

import numpy as np
import pytest

from nbmlops.deployment.request_log import read_log
from nbmlops.serving.app import EndpointApp, Limits
from nbmlops.serving.forward import Canary, Shadow
from nbmlops.serving.http.server import HttpServer
from nbmlops.serving.model import load
from nbmlops.serving.request_log.journal import Journal
from nbmlops.serving.request_log.requests import RequestLog

from .test_app import TOKEN, client_of, model_that, send

INFER = "/v2/models/credit/infer"


@pytest.fixture(scope="module")
def served(model_folder):
    return load(model_folder, name="credit", version=3)


def tensors(rows):
    """Return rows as an input for each column."""
    datatypes = {"f": "FP64", "i": "INT64"}
    return [
        {
            "name": name,
            "shape": [len(rows)],
            "datatype": datatypes.get(rows[name].dtype.kind, "BYTES"),
            "data": rows[name].tolist(),
        }
        for name in rows
    ]


def x(*values):
    return [{"name": "x", "shape": [len(values)], "datatype": "FP64", "data": values}]


@pytest.mark.parametrize("below", ["", "http://127.0.0.1:{port}"])
@pytest.mark.parametrize("version", ["", "/versions/3"])
def test_the_outputs_asked_for_are_answered_in_their_order(
    served, pipeline, applicants, below, version
):
    rows = applicants.drop(3).head(4)
    outputs = [{"name": "probabilities"}, {"name": "predictions"}]

    async def ask(**asked):
        async with client_of(served) as client:
            path = below.format(port=client.base_url.port)
            path += f"/v2/models/credit{version}/infer"
            return await client.post(path, json={"inputs": tensors(rows), **asked})

    answer = asyncio.run(ask(id="mine", outputs=outputs))
    document = answer.json()
    probabilities, predictions = document.pop("outputs")
    assert document == {"model_name": "credit", "model_version": "3", "id": "mine"}
    assert len(answer.headers["x-request-id"]) == 32
    assert "predict;dur=" in answer.headers["server-timing"]
    assert probabilities["parameters"] == {"classes": ["bad", "good"]}
    assert probabilities["shape"] == [4, 2]
    assert probabilities["data"] == pytest.approx(
        pipeline.predict_proba(rows).ravel().tolist()
    )
    assert predictions["data"] == pipeline.predict(rows).tolist()
    document = asyncio.run(ask()).json()
    assert "id" not in document
    assert [output["name"] for output in document["outputs"]] == ["predictions"]


def test_requests_that_wait_together_get_each_their_own(served):
    """Predictions, ids, outputs and errors, of either protocol."""
    calls, may_end = [], threading.Event()

    def predict(rows):
        calls.append(len(rows))
        assert len(calls) > 1 or may_end.wait(30)
        if (rows.x == 13).any():
            raise ValueError("no thirteen")
        return rows.x.to_numpy() * 10

    def predict_proba(rows):
        return np.column_stack([rows.x, 1 - rows.x])

    model = model_that(predict)
    model = replace(model, predict_proba=predict_proba, classes=["a", "b"])

    async def ask():
        async with client_of(model) as client:

            def send(i):
                if i % 4 == 3:
                    return client.post("/invocations", json={"inputs": {"x": [i]}})
                asked = {"inputs": x(i, i + 0.5), "id": str(i)}
                if i % 4 == 2:
                    asked["outputs"] = [{"name": "probabilities"}]
                if i == 20:
                    asked["inputs"] = x("much")
                return client.post(INFER, json=asked)

            tasks = [asyncio.create_task(send(i)) for i in range(24)]
            metrics = ""
            while not re.search(r"requests_in_flight{.*} 23.0", metrics):
                metrics = (await client.get("/metrics")).text
            may_end.set()
            return await asyncio.gather(*tasks)

    answers = asyncio.run(ask())
    for i, answer in enumerate(answers):
        document = answer.json()
        if i == 13:
            assert answer.status_code == 500
            assert answer.headers["x-request-id"] in document["message"]
        elif i == 20:
            assert answer.status_code == 400
            assert document["faults"][0]["row"] == 0
            assert document["faults"][0]["column"] == "x"
        elif i % 4 == 3:
            assert document == {"predictions": [10.0 * i]}
        else:
            (output,) = document["outputs"]
            assert document["id"] == str(i)
            if i % 4 == 2:
                assert output["name"] == "probabilities"
                assert output["data"] == [i, 1.0 - i, i + 0.5, 0.5 - i]
            else:
                assert output["name"] == "predictions"
                assert output["data"] == [10.0 * i, 10.0 * i + 5]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 24


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/credit/ready", {"name": "credit", "ready": True}),
        ("/v2/models/credit/versions/3/ready", {"name": "credit", "ready": True}),
    ],
)
def test_health_is_as_the_protocol_has_it(served, path, expected):
    answer = send("GET", path, model=served)
    assert (answer.status_code, answer.json()) == (200, expected)


def test_metadata_says_what_the_model_takes_and_answers(served):
    server = send("GET", "/v2", model=served).json()
    assert (server["name"], server["extensions"]) == ("nbmlops", [])
    for path in ("/v2/models/credit", "/v2/models/credit/versions/3/"):
        document = send("GET", path, model=served).json()
        assert document["name"] == "credit"
        assert document["versions"] == ["3"]
        assert [(each["name"], each["datatype"]) for each in document["inputs"]] == [
            ("Age", "FP64"),
            ("Income", "FP64"),
            ("Home", "BYTES"),
        ]
        names = [each["name"] for each in document["outputs"]]
        assert names == ["predictions", "probabilities"]


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/v2/models/other", 404, "serves 'credit', not 'other'"),
        ("GET", "/v2/models/credit/versions/2", 404, "version 3 is"),
        ("POST", "/v2/models/credit/versions/2/infer", 404, "version 3 is"),
        ("GET", "/v2/nothing", 404, "nothing here"),
        ("GET", "/v2/models/credit/nothing", 404, "nothing here"),
        ("GET", INFER, 405, "send POST"),
        ("POST", "/v2/models/credit", 405, "send GET"),
    ],
)
def test_what_is_not_served_is_named(served, method, path, status, says):
    answer = send(method, path, model=served)
    assert answer.status_code == status
    document = answer.json()
    assert says in document["message"]
    assert document["error"] == f"{document['message']} {document['fix']}"


def test_a_name_is_percent_decoded():
    model = model_that(lambda rows: rows.x.to_numpy(), name="crédit ☃/1")
    path = "/v2/models/cr%C3%A9dit%20%e2%98%83%2f1/infer"
    answer = send("POST", path, model=model, json={"inputs": x(1)})
    assert answer.json()["model_name"] == "crédit ☃/1"


def test_faults_are_those_of_invocations(served):
    inputs = [
        {"name": "Age", "shape": [2], "datatype": "BYTES", "data": ["old", "older"]},
        {"name": "agee", "shape": [2], "datatype": "FP64", "data": [1, 2]},
    ]
    answer = send("POST", INFER, model=served, json={"inputs": inputs})
    assert answer.status_code == 400
    document = answer.json()
    columns = {"Age": [41], "agee": [1]}
    theirs = send("POST", "/invocations", model=served, json={"inputs": columns})
    assert set(document) == set(theirs.json()) == {"error", "message", "fix", "faults"}
    assert all(fault in document["faults"] for fault in theirs.json()["faults"])


def test_a_token_is_asked_for(served):
    for path in ("/v2/health/live", INFER):
        answer = send("GET", path, model=served, headers={"authorization": "Bearer x"})
        assert answer.status_code == 401


def test_requests_are_in_the_log(served, applicants, tmp_path):
    columns, bounds = served.spec.columns, {"most_bytes": 10**8, "most_days": 9}
    journal = Journal(log=RequestLog(tmp_path, columns, **bounds))
    rows = applicants.drop(3).head(2)
    outputs = [{"name": "probabilities"}, {"name": "predictions"}]

    async def ask():
        async with client_of(served, journal=journal) as client:
            asked = {"inputs": tensors(rows), "outputs": outputs, "id": "mine"}
            return await client.post(INFER, json=asked)

    answer = asyncio.run(ask())
    journal.close()
    log = read_log(tmp_path).sort_values("row")
    assert log.request_id.tolist() == [answer.headers["x-request-id"]] * 2
    assert log.prediction.tolist() == answer.json()["outputs"][1]["data"]
    assert log["in.Home"].tolist() == rows.Home.tolist()


def beside(model, path, role):
    """Return the server of another version, on a Unix socket."""
    app = EndpointApp(model, endpoint="credit", token=TOKEN, limits=Limits(), role=role)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    server = HttpServer(app, listener)
    server.accept()
    return app, server, listener


def test_a_canary_answers_and_a_shadow_copies(tmp_path):
    model = model_that(lambda rows: rows.x.to_numpy())
    fourth = replace(model, version=4)
    fifth = replace(model, version=5, predict=lambda rows: rows.x.to_numpy() + 1)

    async def ask():
        loop = asyncio.get_running_loop()
        paths = [str(tmp_path / role) for role in ("canary", "shadow", "other")]
        roles = ("canary", "shadow", "shadow")
        models = (fourth, fourth, fifth)
        others = [beside(*each) for each in zip(models, paths, roles, strict=True)]
        limits = Limits()
        app = EndpointApp(model, endpoint="credit", token=TOKEN, limits=limits)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = HttpServer(app, listener)
            server.accept()
            port = listener.getsockname()[1]
            found = []
            routes = (
                (Canary(paths[0], 1.0), None),
                (None, Shadow(paths[1])),
                (None, Shadow(paths[2])),
            )
            for (canary, shadow), (other, *_) in zip(routes, others, strict=True):
                app.set_routes(canary, shadow)
                for path in (INFER, "/v2/models/credit/versions/3/infer"):
                    found.append(await loop.run_in_executor(None, post, port, path))
                while shadow and (other.metrics.statuses[200] < 2 or shadow.is_busy):
                    await asyncio.sleep(0.01)
                found.append(shadow)
            await server.drain(1.0)
        for _, each, listener in others:
            await each.drain(0.1, closes_idle=True)
            listener.close()
        return found

    by_canary, pinned, _, third, _, equal, also_third, _, other = asyncio.run(ask())
    status, version, document = by_canary
    assert (status, version) == (200, "credit/4")
    assert document["model_version"] == "4"
    assert document["outputs"][0]["data"] == [1.5]
    for status, version, document in (pinned, third, also_third):
        assert (status, version) == (200, "credit/3")
        assert document["model_version"] == "3"
        assert document["id"] == "mine"
    assert (equal.n_sent, equal.n_lost, equal.n_different) == (2, 0, 0)
    assert (other.n_sent, other.n_lost, other.n_different) == (2, 0, 2)


def post(port, path):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {
        "authorization": f"Bearer {TOKEN}",
        "content-type": "application/json",
    }
    body = json.dumps({"inputs": x(1.5), "id": "mine"})
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    found = answer.status, answer.headers["x-model-version"], json.loads(answer.read())
    connection.close()
    return found
