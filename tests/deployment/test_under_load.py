"""What happens to an endpoint while clients ask it: nobody notices."""

import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import mlflow
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from benchmarks import canary_trials
from nbmlops.deployment import actions, endpoints, records
from nbmlops.deployment.handle import EndpointHandle
from nbmlops.errors import DeployError

from .test_endpoints import ROOT, supervisor_of, until

pytestmark = pytest.mark.server
OFTEN = pytest.mark.slow


@pytest.fixture(scope="session")
def numbered(register, frame):
    """Return versions that each answer with their own number."""
    models = (DummyClassifier().fit(frame, [str(n)] * len(frame)) for n in range(1, 5))
    return [register("numbered", model) for model in models]


class Load:
    """Clients that ask all the time; each answer is a number and when it was asked."""

    def __init__(self, store, frame, n_clients=4):
        self.answers, self.failures = [], []
        self._is_over = threading.Event()
        self._handle = EndpointHandle(
            store.settings, endpoints.get_endpoint(store.settings, "numbered")
        )
        self._rows = frame.head(1)
        self._threads = [threading.Thread(target=self._ask) for _ in range(n_clients)]

    def _ask(self):
        while not self._is_over.is_set():
            asked_at = time.monotonic()
            try:
                answer = self._handle.predict(self._rows).tolist()[0]
            except Exception as error:  # noqa: BLE001 - it is counted
                self.failures.append(repr(error))
            else:
                self.answers.append((asked_at, answer))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        until(lambda: len(self.answers) > 10)
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("n", [5, pytest.param(100, marks=OFTEN)])
def test_a_worker_that_is_killed_costs_no_client_an_answer(store, numbered, frame, n):
    endpoint, _ = actions.deploy(store, numbered[0], name="numbered")
    with Load(store, frame) as load:
        for _ in range(n):
            pid = until(lambda: endpoints.get_endpoint(store.settings, "numbered")).pid
            os.kill(pid, signal.SIGKILL)
            until(
                lambda pid=pid: (
                    endpoints.get_endpoint(store.settings, "numbered").pid
                    not in (0, pid)
                )
            )
            seen = len(load.answers)
            until(lambda seen=seen: len(load.answers) > seen + 5)
    assert load.failures == []
    assert {answer for _, answer in load.answers} == {"1"}
    assert endpoints.get_endpoint(store.settings, "numbered").port == endpoint.port


@pytest.mark.parametrize("n", [3, pytest.param(20, marks=OFTEN)])
def test_a_supervisor_that_is_killed_costs_nobody_an_answer(store, numbered, frame, n):
    endpoint, _ = actions.deploy(store, numbered[0], name="numbered")
    with Load(store, frame) as load:
        for _ in range(n):
            before = until(lambda: supervisor_of(store))
            os.kill(before, signal.SIGKILL)
            until(lambda before=before: supervisor_of(store) not in (None, before))
    assert load.failures == []
    assert endpoints.get_endpoint(store.settings, "numbered").pid == endpoint.pid
    actions.deploy(store, numbered[1], name="numbered")  # it is still supervised
    assert endpoints.get_endpoint(store.settings, "numbered").port == endpoint.port


@pytest.mark.parametrize("n", [6, pytest.param(200, marks=OFTEN)])
def test_an_alias_that_moves_costs_nobody_an_answer(store, numbered, frame, n):
    client = mlflow.MlflowClient(store.uri)
    client.set_registered_model_alias("numbered", "live", "1")
    actions.deploy(store, numbered[0], name="numbered", alias="live")
    current = [(time.monotonic(), "1")]
    with Load(store, frame) as load:
        for i in range(n):
            number = str(i % 3 + 2)
            current.append((time.monotonic(), number))
            client.set_registered_model_alias("numbered", "live", number)
            until(
                lambda number=number: (
                    load.answers
                    and [answer for _, answer in load.answers[-4:]] == [number] * 4
                )
            )
    assert load.failures == []
    for asked_at, answer in load.answers:
        before = [number for since, number in current if since <= asked_at]
        later = [number for since, number in current if since > asked_at]
        assert answer in before[-2:] + later  # one before, for a moment


@pytest.mark.parametrize("n", [3, pytest.param(30, marks=OFTEN)])
def test_bad_updates_cost_nobody_an_answer(
    store, numbered, frame, register, files_of, as_logged, n
):
    actions.deploy(store, numbered[0], name="numbered")
    broken = register("numbered", LogisticRegression().fit(frame, frame.a > 0))
    (files_of(broken) / "model.skops").write_bytes(b"PK")
    raising = register("numbered", LogisticRegression().fit(frame, frame.a > 0))
    example = json.dumps({"columns": ["a", "b"], "data": [["x", 1.0]]})
    (files_of(raising) / "input_example.json").write_text(example)
    as_logged(broken)
    as_logged(raising)
    with Load(store, frame) as load:
        for i in range(n):
            with pytest.raises(DeployError):
                actions.deploy(store, (broken, raising)[i % 2], name="numbered")
    assert load.failures == []
    assert {answer for _, answer in load.answers} == {"1"}


def test_a_kept_connection_gets_each_answer_while_versions_change(
    store, numbered, frame
):
    endpoint, _ = actions.deploy(store, numbered[0], name="numbered")
    token = records.read_token(store.settings, "numbered")
    split = json.loads(frame.head(1).to_json(orient="split"))
    body = json.dumps({"dataframe_split": split})
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    statuses, is_over = [], threading.Event()

    def go_on_asking():
        connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=30)
        while not is_over.is_set():
            path = "/endpoints/numbered/invocations"
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)

    threads = [threading.Thread(target=go_on_asking) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(6):
        actions.deploy(store, numbered[i % 2 + 1], name="numbered")
    is_over.set()
    for thread in threads:
        thread.join()
    assert len(statuses) > 100
    assert set(statuses) == {200}


@OFTEN  # the short forms are in test_rollout.py
def test_bad_canaries_are_rolled_back_by_their_rule_and_good_ones_never(store):
    found = canary_trials.run(store, 30)
    reasons = {kind: dict(trials.reasons) for kind, trials in found.items()}
    assert reasons == {kind: {why: 30} for kind, why in canary_trials.REASONS.items()}


def test_a_roll_back_works_without_store_artifacts_and_room_on_the_disk():
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, "-m", "tests.deployment.full_disk"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert (found["answers"], found["version"]) == (["2", "1"], 1)


_MARKING = """
import mmap, time
from sklearn.base import BaseEstimator, RegressorMixin

class Own(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        numbers = X["a"].tolist() if hasattr(X, "columns") else X[:, 0].tolist()
        for number in numbers:
            if number >= 1:
                marks[int(number)] = 1
        time.sleep(0.02)
        return numbers

with open(PATH, "r+b") as file:
    marks = mmap.mmap(file.fileno(), 0)
"""
_MOST_MARKS = 1_000_000


@pytest.fixture(scope="session")
def marking(tmp_path_factory, register_own):
    """Return a version that marks each number it begins with, and the marks' file."""
    begun = tmp_path_factory.mktemp("marks") / "begun"
    begun.write_bytes(bytes(_MOST_MARKS))
    source = f"PATH = {str(begun)!r}{_MARKING}"
    return register_own("marking", "marking", source), begun


class RawClient(threading.Thread):
    """Asks over one connection, a number each time, and never again what failed."""

    def __init__(self, endpoint, token, numbers, is_over):
        super().__init__()
        self._endpoint, self._numbers, self._is_over = endpoint, numbers, is_over
        self._headers = {"authorization": f"Bearer {token}"}
        self._headers["content-type"] = "application/json"
        self.answered, self.failed = [], []

    def run(self):
        connection = None
        while not self._is_over.is_set():
            if connection is None:
                port = self._endpoint.port
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            number = next(self._numbers)
            rows = {"columns": ["a", "b"], "data": [[number, 0.0]]}
            body = json.dumps({"dataframe_split": rows})
            path = f"/endpoints/{self._endpoint.name}/invocations"
            try:
                connection.request("POST", path, body, self._headers)
                answer = connection.getresponse()
                found = json.loads(answer.read())["predictions"]
            except (OSError, http.client.HTTPException):
                self.failed.append(number)
                connection = None
            else:
                assert found == [number]
                self.answered.append(number)


@pytest.mark.parametrize("n", [5, pytest.param(100, marks=OFTEN)])
def test_a_request_that_a_killed_worker_had_not_begun_is_answered(store, marking, n):
    version, begun = marking
    endpoint, _ = actions.deploy(store, version, name="marking", trust=("marking",))
    token = records.read_token(store.settings, "marking")
    numbers, is_over = itertools.count(1000), threading.Event()
    clients = [RawClient(endpoint, token, numbers, is_over) for _ in range(8)]
    for client in clients:
        client.start()
    for _ in range(n):
        n_answered = sum(len(client.answered) for client in clients)
        until(lambda seen=n_answered: sum(len(c.answered) for c in clients) > seen + 40)
        pid = endpoints.get_endpoint(store.settings, "marking").pid
        os.kill(pid, signal.SIGKILL)
        until(
            lambda pid=pid: (
                endpoints.get_endpoint(store.settings, "marking").pid not in (0, pid)
            )
        )
    is_over.set()
    for client in clients:
        client.join()
    failed = {number for client in clients for number in client.failed}
    marks = begun.read_bytes()
    lost = {number for number in failed if not marks[number]}
    # One may die between the system call that reads and its note of what it has read.
    assert len(lost) <= 1 + n // 50
    assert 0 < len(failed) < 8 * n


@OFTEN
def test_processes_that_are_killed_come_back_without_store_and_room():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.store_outage", "--seconds", "30"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
