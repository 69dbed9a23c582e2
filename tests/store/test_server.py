"""The same work against a real MLflow server instead of the embedded store."""

import base64
import math
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import nbmlops as nm
from nbmlops.errors import NotFoundError, StoreError
from nbmlops.store import connect
from nbmlops.store.artifacts import read_file
from nbmlops.store.registry import versions
from nbmlops.store.runs.queries import get_run, list_runs

X = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})


@pytest.mark.server
def test_runs_on_a_server_are_compared_as_those_in_a_database(
    project, monkeypatch, mlflow_server
):
    from mlflow.entities import Metric

    curves = {
        "short": [0.1, math.nan, math.inf, 0.3],
        "long": [math.sin(step / 100) for step in range(4000)],
        "once": [0.5],
    }
    expected = []
    for url in (mlflow_server.url, f"sqlite:///{project}/other.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        ids = []
        for scale in (1, 2):
            with nm.track("it", params={"scale": scale}) as run:
                run.log_dataset(X * scale, name="X")
            for key, values in curves.items():
                metrics = [
                    Metric(key, value * scale, 1000 + step, step)
                    for step, value in enumerate(values)
                ]
                for start in range(0, len(metrics), 1000):
                    batch = metrics[start : start + 1000]
                    connect().client.log_batch(run.run_id, metrics=batch)
            ids.append(run.run_id)
        page = get_run(connect(), run.run_id).url
        assert page is None or page.startswith(f"{mlflow_server.url}/#/experiments/")
        assert (page is None) == (not connect().is_served)
        found = nm.compare(*ids).comparison
        expected.append((found.params, found.datasets, repr(found.metrics)))
    assert expected[0] == expected[1]
    assert {metric.name for metric in found.metrics} == set(curves)
    assert "is_whole=False" not in expected[0][2]
    assert "nan" in expected[0][2]


@pytest.mark.server
def test_history_too_long_to_read_from_a_server_says_so(
    project, monkeypatch, mlflow_server
):
    from nbmlops.store.runs import histories

    with nm.track("it") as run:
        for step in range(30):
            run.log(step=step, auc=step / 30, loss=1.0)
        run.log(last=1.0)
    monkeypatch.setattr(histories, "_SAMPLE", 10)
    monkeypatch.setattr(histories, "_PAGE", 5)
    (found,) = histories.list_histories(connect(), [run.run_id])
    assert (found["auc"].is_whole, found["last"].is_whole) == (False, True)
    assert [found["auc"].points[end][0] for end in (0, -1)] == [0, 29]
    monkeypatch.setattr(histories, "_PAGE", 8)
    (found,) = histories.list_histories(connect(), [run.run_id])
    assert found["auc"].is_whole
    monkeypatch.setattr(histories, "_MOST_ASKED", 1)
    (found,) = histories.list_histories(connect(), [run.run_id])
    assert [key for key, each in found.items() if each.is_whole] == ["auc"]


@pytest.mark.server
def test_tracking_registering_and_deploying_work_on_a_server(
    project, mlflow_server, capfd
):
    for auc in (0.7, 0.9):
        with nm.track("it", params={"C": 1}) as run:
            run.log(auc=auc)
            run.log_dataset(X, name="train")
            run.log_model(LogisticRegression().fit(X, [0, 0, 1, 1]), X)
    assert (
        "pandas=="
        in read_file(connect(), run.run_id, "nbmlops/environment.txt").decode()
    )
    version = nm.register("credit", run="best:auc", alias="champion")
    assert version.metrics == {"auc": 0.9}
    assert version.signature is not None
    nm.register("credit", run=nm.runs().page.items[1].run_id)
    page = versions.list_versions(connect(), "credit", limit=1)
    assert [v.version for v in page] == [2]
    assert page.next_page_token
    with pytest.raises(NotFoundError, match="No registered model 'nothing'"):
        nm.deploy("nothing")
    endpoint = nm.deploy("credit@champion")
    try:
        assert endpoint.predict(X).tolist() == [0, 0, 1, 1]
    finally:
        nm.undeploy("credit")
    assert not (project / ".nbmlops" / "mlflow.db").exists()
    assert capfd.readouterr().out == ""

    mlflow_server.stop()
    with pytest.raises(StoreError, match="does not answer"):
        nm.runs()


class Broken(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(500)

    do_POST = do_GET  # noqa: N815 - the name http.server asks for

    def log_message(self, *args):
        pass


@contextmanager
def serving(handler, monkeypatch):
    """Serve the tracking store by a handler; yield its host and port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        host = f"127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{host}")
        try:
            yield host
        finally:
            server.shutdown()
            thread.join()


def test_server_that_answers_with_errors_is_not_called_silent(project, monkeypatch):
    with serving(Broken, monkeypatch) as host, pytest.raises(StoreError) as caught:
        nm.runs()
    expected = f"The tracking server {host} answers with errors (HTTP 500)."
    assert caught.value.problem == expected


BASIC = f"Basic {base64.b64encode(b'ada:l0velace').decode()}"
LOGIN = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "l0velace"}
TOKEN = {"MLFLOW_TRACKING_TOKEN": "t0ken"}


@pytest.mark.parametrize(
    ("environ", "header"),
    [
        ({}, None),
        (TOKEN, "Bearer t0ken"),
        (LOGIN, BASIC),
        (LOGIN | TOKEN, BASIC),
        ({"MLFLOW_TRACKING_USERNAME": "ada"} | TOKEN, "Bearer t0ken"),
    ],
)
def test_runs_are_read_with_the_credentials_of_the_environment(
    project, monkeypatch, tmp_path, environ, header
):
    sent = []

    class Empty(Broken):
        def do_GET(self):
            sent.append(self.headers.get("Authorization"))
            if header != sent[-1]:
                self.send_error(401)
                return
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET  # noqa: N815

    monkeypatch.setenv("HOME", str(tmp_path))  # whose .mlflow holds no credentials
    for name in LOGIN | TOKEN:
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with serving(Empty, monkeypatch):
        assert list_runs(connect()).items == ()
    assert set(sent) == {header}
