"""What every target does: processes here, and a cluster of Ray."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nbmlops.config import Settings
from nbmlops.deployment import actions, control, records
from nbmlops.deployment.client import ask
from nbmlops.deployment.request_log import log_folder, read_log
from nbmlops.errors import ConflictError, NbmlopsError, UsageError
from nbmlops.lifecycle import deploy as lifecycle
from nbmlops.serving.request_log.feedback import REQUEST_ID
from tests.ports import free_port

from .conftest import stop_endpoints
from .people import CITIES, Client
from .test_endpoints import until

pytestmark = pytest.mark.server
NAME = "people"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Have a cluster of Ray run, this machine its only node."""
    address = f"127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head"]
    options = {
        "port": address.rpartition(":")[2],
        "node-ip-address": "127.0.0.1",
        "include-dashboard": "false",
        "num-cpus": "2",
        "temp-dir": str(tmp_path_factory.mktemp("ray")),
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    environ = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    subprocess.run([*command, *words], check=True, capture_output=True, env=environ)
    yield address
    subprocess.run([command[0], "stop", "--force"], check=False, capture_output=True)


@pytest.fixture(
    scope="module",
    params=["local", pytest.param("ray", marks=[pytest.mark.slow])],
)
def target(request):
    return request.param


@pytest.fixture(scope="module")
def project(target, registry, tmp_path_factory, request):
    """Return the settings of a project whose endpoints run on the target."""
    folder = tmp_path_factory.mktemp(f"on-{target}")
    lines = ["[tool.nbmlops.ray]", "cpus = 0.1"]
    if target == "ray":
        lines.append(f'address = "{request.getfixturevalue("cluster")}"')
    (folder / "pyproject.toml").write_text("\n".join(lines))
    settings = Settings(project=folder, tracking_uri=registry.uri)
    yield settings
    stop_endpoints(settings)


@pytest.fixture
def store(registry, project):
    yield replace(registry, settings=project)
    for name in records.list_names(records.root(project)):
        actions.undeploy(project, name)


@pytest.fixture
def served(store, target, rollout_versions):
    """Return a client of an endpoint that serves people/1."""
    version = rollout_versions["champion"]
    made = lifecycle.deploy(str_of(version), name=NAME, target=target, store=store)
    return Client(store, made.endpoint)


def move_alias(store, version, alias):
    """Move an alias as a stock client of MLflow does."""
    number = str(version.version)
    store.client.set_registered_model_alias(version.model, alias, number)


def str_of(version):
    return f"{version.model}/{version.version}"


def get(store, path, **options):
    record = records.get_record(store.settings, NAME)
    token = records.read_token(store.settings, NAME)
    options = {"token": token, "timeout_s": 10, **options}
    return ask(record.port, f"/endpoints/{NAME}{path}", **options)


def test_it_speaks_both_protocols(store, served, people, rollout_versions):
    handle = lifecycle.endpoint(NAME, store=store)
    assert handle.status().state == "ready"
    expected = ["old" if age > 40 else "young" for age in people.age]
    assert list(handle.predict(people)) == expected
    proba = handle.predict_proba(people[:5])
    assert proba.shape == (5, 2)
    assert np.allclose(proba.sum(axis=1), 1)
    v2 = {
        "id": "mine",
        "inputs": [
            {"name": "city", "datatype": "BYTES", "shape": [2], "data": CITIES[:2]},
            {"name": "age", "datatype": "INT64", "shape": [2], "data": [50, 20]},
        ],
    }
    answer = get(store, f"/v2/models/{NAME}/infer", body=json.dumps(v2).encode())
    document = json.loads(answer.body)
    assert (answer.status, document["id"]) == (200, "mine")
    assert document["outputs"][0]["data"] == ["old", "young"]
    assert json.loads(get(store, f"/v2/models/{NAME}").body)["name"] == NAME
    assert get(store, "/ping").status == get(store, "/health").status == 200


def test_each_answer_says_who_gave_it_and_what_it_took(store, served):
    answer = get(store, "/invocations", body=row("Bern", 50))
    assert answer.headers["x-model-version"] == "people/1"
    assert REQUEST_ID.fullmatch(answer.headers["x-request-id"])
    assert "predict;dur=" in answer.headers["server-timing"]


def test_bad_requests_are_refused_with_what_is_wrong(store, served):
    bad = get(store, "/invocations", body=b'{"dataframe_records": [{"town": "Bern"}]}')
    assert bad.status == 400
    assert "town" in json.loads(bad.body)["message"]
    assert get(store, "/invocations", body=b"{").status == 400
    assert get(store, "/invocations", token="x" * 43, body=b"{}").status == 401
    assert get(store, "/nothing").status == 404
    assert get(store, "/invocations", body=b"x" * 10_000_001).status == 413
    with pytest.raises(UsageError, match="town"):
        lifecycle.endpoint(NAME, store=store).predict([{"town": "Bern"}])


def row(city, age):
    return json.dumps({"dataframe_records": [{"city": city, "age": age}]}).encode()


def test_without_a_token_it_answers_its_own_machine_alone(
    store, target, rollout_versions
):
    version = str_of(rollout_versions["champion"])
    made = lifecycle.deploy(version, target=target, no_auth=True, store=store)
    for headers, status in (
        ({}, 200),
        ({"Host": "example.org"}, 403),
        ({"Origin": "https://example.org"}, 403),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", made.endpoint.port, 30)
        connection.request("GET", f"/endpoints/{NAME}/ping", headers=headers)
        assert connection.getresponse().status == status
        connection.close()


def test_metrics_count_what_was_answered(store, served):
    for _ in range(20):
        served.send()
    until(lambda: b'status="200"' in get(store, "/metrics").body)
    found = lifecycle.endpoint(NAME, store=store)
    until(lambda: found.metrics().versions[0].n_requests >= 20)
    assert found.metrics().versions[0].latency_ms_p50 > 0


def test_requests_and_their_truth_are_logged(store, served):
    answer = get(store, "/invocations", body=row("Chur", 50))
    request_id = answer.headers["x-request-id"]
    truth = json.dumps({"request_id": request_id, "label": "old"}).encode()
    assert get(store, "/feedback", body=truth).status == 202
    wrong = json.dumps({"request_id": "x", "label": 1}).encode()
    assert get(store, "/feedback", body=wrong).status == 400

    def logged():
        frame = lifecycle.endpoint(NAME, store=store).log().frame()
        return frame[frame.request_id == request_id]

    until(lambda: len(logged()) and logged().label.notna().all())
    (line,) = logged().to_dict("records")
    assert (line["in.city"], line["in.age"]) == ("Chur", 50)
    assert (line["prediction"], line["label"], line["version"]) == ("old", "old", 1)


def test_an_alias_that_moves_is_followed_and_no_request_fails(
    store, target, rollout_versions
):
    move_alias(store, rollout_versions["champion"], "best")
    made = lifecycle.deploy("people@best", target=target, store=store)
    client = Client(store, made.endpoint)
    is_over = threading.Event()

    def go_on_asking():
        while not is_over.is_set():
            client.send()

    thread = threading.Thread(target=go_on_asking)
    thread.start()
    try:
        for name in ("equal", "flipped", "champion"):
            version = rollout_versions[name]
            move_alias(store, version, "best")
            until(lambda v=version: client.versions[-1:] == [str_of(v)], limit_s=60)
    finally:
        is_over.set()
        thread.join()
    assert set(client.statuses) == {200}
    changes = [
        now
        for before, now in zip(client.versions, client.versions[1:], strict=False)
        if now != before
    ]
    assert changes == ["people/2", "people/4", "people/1"]


def test_a_version_that_does_not_load_leaves_the_old_one(
    store, served, register_own, target
):
    source = (
        "from sklearn.linear_model import LinearRegression\n"
        "class Own(LinearRegression):\n    pass\n"
    )
    own = register_own(NAME, f"own_on_{target}", source)
    with pytest.raises(NbmlopsError, match="trust"):
        lifecycle.deploy(str_of(own), name=NAME, store=store)
    assert served.send()["predictions"] == ["old"]
    assert served.versions == ["people/1"]
    assert lifecycle.endpoint(NAME, store=store).status().version == 1


def test_a_canary_answers_its_share_and_is_promoted(store, served, rollout_versions):
    version = str_of(rollout_versions["equal"])
    handle = lifecycle.deploy(version, name=NAME, canary=0.3, store=store)
    assert (handle.endpoint.canary_version, handle.endpoint.canary_share) == (2, 0.3)
    by_key = {}
    for n in range(200):
        served.send(**{"x-request-key": str(n % 40)})
        by_key.setdefault(n % 40, set()).add(served.versions[-1])
    assert all(len(versions) == 1 for versions in by_key.values())
    assert 20 < served.versions.count("people/2") < 110
    now = handle.promote()
    assert (now.version, now.previous_version, now.canary_version) == (2, 1, None)
    until(lambda: served.send() and served.versions[-1] == "people/2")
    now = handle.rollback()
    assert (now.version, now.previous_version) == (1, None)
    until(lambda: served.send() and served.versions[-1] == "people/1")
    assert set(served.statuses) == {200}


def test_a_canary_that_fails_is_rolled_back_and_nobody_gets_its_errors(
    store, served, rollout_versions
):
    version = rollout_versions["raising"]
    rules = {"error_share": 0.05, "min_requests": 50}
    handle = lifecycle.deploy(
        str_of(version), name=NAME, canary="50%", rules=rules, store=store
    )
    until_s = time.monotonic() + 60
    while handle.status().canary_version is not None:
        assert time.monotonic() < until_s
        for city in CITIES:
            served.send(city, 50)
    assert "was rolled back: error_share" in handle.status().message
    assert set(served.statuses) == {200}
    with pytest.raises(UsageError, match="no canary"):
        handle.abort()


def test_a_shadow_gets_copies_and_answers_nobody(store, served, rollout_versions):
    version = str_of(rollout_versions["flipped"])
    lifecycle.deploy(version, name=NAME, shadow=True, store=store)
    for age in range(20, 60):
        served.send("Bern", age)
    assert set(served.versions) == {"people/1"}
    folder = log_folder(store.settings, NAME)
    both = {"champion": 40, "shadow": 40}
    until(lambda: read_log(folder).route.value_counts().to_dict() == both)
    log = read_log(folder)
    wide = log.pivot(index="request_id", columns="route", values="prediction")
    assert (wide.champion != wide.shadow).all()


def test_a_new_token_is_asked_for_within_a_second(store, served):
    old = served.token
    new = lifecycle.endpoint(NAME, store=store).rotate_token()
    until(lambda: get(store, "/ping", token=new).status == 200)
    until(lambda: get(store, "/ping", token=old).status == 401)


def test_the_next_supervisor_goes_on(store, target, served, rollout_versions):
    version = str_of(rollout_versions["equal"])
    handle = lifecycle.deploy(version, name=NAME, canary=0.3, store=store)
    folder = records.root(store.settings)
    status = {"type": "status"}
    before = control.request(folder, status, target=target)["pid"]
    os.kill(before, signal.SIGKILL)
    for _ in range(50):
        served.send()
    assert set(served.statuses) == {200}
    (now,) = lifecycle.endpoints_up(store=store)
    assert (now.state, now.canary_version) == ("ready", 2)
    assert control.request(folder, status, target=target)["pid"] != before
    assert handle.promote().version == 2
    until(lambda: served.send() and served.versions[-1] == "people/2")
    assert set(served.statuses) == {200}


def test_an_endpoint_stays_on_its_target(store, target, served, rollout_versions):
    other = {"local": "ray", "ray": "local"}[target]
    with pytest.raises(ConflictError, match=f"runs on {target}"):
        lifecycle.deploy("people/2", name=NAME, target=other, store=store)
    with pytest.raises(UsageError, match=r"no target 'raay'.* Did you mean 'ray'"):
        lifecycle.deploy("people/2", name=NAME, target="raay", store=store)


def test_nothing_is_left_of_what_is_removed(store, target, served):
    record = records.get_record(store.settings, NAME)
    lifecycle.undeploy(NAME, store=store)
    assert records.list_names(records.root(store.settings)) == []
    if target == "ray":
        answer = ask(record.port, f"/endpoints/{NAME}/ping", token=None, timeout_s=5)
        assert answer.status == 404
    else:
        with pytest.raises(OSError, match="refused"):
            ask(record.port, f"/endpoints/{NAME}/ping", token=None, timeout_s=5)
