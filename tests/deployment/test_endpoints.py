import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nbmlops._hashing import folder_digest
from nbmlops.deployment import actions, client, control, endpoints, records
from nbmlops.deployment.handle import EndpointHandle
from nbmlops.errors import (
    ConflictError,
    DeployError,
    NotFoundError,
    StoreError,
    UsageError,
)
from nbmlops.scoring.example import read_example
from tests.deployment.conftest import stop_endpoints

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[2]


def until(condition, limit_s=30):
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def ask(store, endpoint, frame):
    return EndpointHandle(store.settings, endpoint).predict(frame).tolist()


def test_an_endpoint_answers_as_its_model_does_when_deploy_returns(
    store, versions, models, frame
):
    endpoint, was_made = actions.deploy(store, versions[0], name="credit", alias="best")
    assert was_made
    assert (endpoint.state, endpoint.alias, endpoint.version) == ("ready", "best", 1)
    assert endpoint.url == f"http://127.0.0.1:{endpoint.port}/endpoints/credit"
    assert ask(store, endpoint, frame) == models[0].predict(frame).tolist()
    assert endpoints.get_endpoint(store.settings, "credit") == endpoint
    assert endpoints.list_endpoints(store.settings) == (endpoint,)


def test_its_files_are_private(store, versions):
    actions.deploy(store, versions[0], name="credit")
    folder = records.root(store.settings) / "credit"
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
    assert records.root(store.settings).stat().st_mode & 0o777 == 0o700
    assert {p.name for p in folder.iterdir()} == {
        "endpoint.json",
        ".endpoint.json.spare",
        "token",
        "versions",
        "log.txt",
    }
    assert {p.name for p in (folder / "versions").iterdir()} == {"1"}
    assert (store.settings.home / ".gitignore").read_text() == "*\n"


def test_the_same_version_again_is_the_endpoint_that_is_there(store, versions):
    first, _ = actions.deploy(store, versions[0], name="credit")
    second, was_made = actions.deploy(store, versions[0], name="credit", alias="best")
    assert not was_made
    assert second == replace(first, alias="best")
    assert endpoints.get_endpoint(store.settings, "credit").alias == "best"


def test_another_version_takes_over_without_a_failed_request(
    store, versions, models, frame, left_behind
):
    first, _ = actions.deploy(store, versions[0], name="credit")
    token = records.read_token(store.settings, "credit")
    expected = [model.predict(frame).tolist() for model in models]
    answers, is_over = [], threading.Event()

    def go_on_asking():
        while not is_over.is_set():
            answers.append(ask(store, first, frame))

    asking = threading.Thread(target=go_on_asking)
    asking.start()
    second, was_made = actions.deploy(store, versions[1], name="credit")
    seen = len(answers)
    until(lambda: len(answers) > seen + 5)
    is_over.set()
    asking.join()
    assert was_made
    assert all(answer in expected for answer in answers)
    assert answers[0] == expected[0]
    assert answers[-1] == expected[1]
    assert endpoints.get_endpoint(store.settings, "credit") == second
    assert records.read_token(store.settings, "credit") == token
    until(lambda: [p for p in left_behind() if isinstance(p, int)] == [second.pid])
    assert second.port == first.port


def test_a_request_that_met_the_old_version_as_it_went_is_sent_to_the_new_one(
    store, versions, models, frame, monkeypatch
):
    actions.deploy(store, versions[0], name="credit")
    read = [records.get_record(store.settings, "credit")] * 2
    endpoint, _ = actions.deploy(store, versions[1], name="credit")
    look = records.get_record
    monkeypatch.setattr(
        records, "get_record", lambda *where: read.pop() if read else look(*where)
    )
    assert ask(store, endpoint, frame) == models[1].predict(frame).tolist()
    assert read == []


def test_another_models_live_endpoint_is_not_taken(store, versions, register, models):
    other = register("other", models[1])
    endpoint, _ = actions.deploy(store, versions[0], name="shop")
    with pytest.raises(ConflictError, match="'shop' serves credit/1") as refused:
        actions.deploy(store, other, name="shop")
    assert "with name=" in refused.value.fix
    assert "%undeploy shop" in refused.value.fix
    assert endpoints.get_endpoint(store.settings, "shop") == endpoint
    stop_endpoints(store.settings)
    assert endpoints.get_endpoint(store.settings, "shop").state == "dead"
    taken, was_made = actions.deploy(store, other, name="shop")
    assert (was_made, taken.model) == (True, "other")


def test_a_killed_worker_is_replaced_and_requests_wait_for_the_next(
    store, versions, models, frame
):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    os.kill(endpoint.pid, signal.SIGKILL)
    assert ask(store, endpoint, frame) == models[0].predict(frame).tolist()
    again = _in_state(store, "credit", "ready")
    assert (again.pid != endpoint.pid, again.port) == (True, endpoint.port)


def test_a_version_that_crashes_again_and_again_is_rolled_back(
    store, versions, models, frame
):
    actions.deploy(store, versions[0], name="credit")
    actions.deploy(store, versions[1], name="credit")
    for _ in range(3):
        endpoint = until(lambda: _in_state(store, "credit", "ready"))
        if endpoint.version == 1:
            break
        os.kill(endpoint.pid, signal.SIGSEGV)
        until(lambda pid=endpoint.pid: pid not in workers_of(store, "credit"))
    now = until(
        lambda: (
            endpoints.get_endpoint(store.settings, "credit").version == 1
            and _in_state(store, "credit", "ready")
        )
    )
    assert now.message.startswith(
        "credit/2 was rolled back: it crashed (signal SIGSEGV"
    )
    assert ask(store, now, frame) == models[0].predict(frame).tolist()


def test_workers_outlive_their_supervisor_and_bring_up_the_next(
    store, versions, models, frame
):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    before = supervisor_of(store)
    os.kill(before, signal.SIGKILL)
    assert ask(store, endpoint, frame) == models[0].predict(frame).tolist()
    until(lambda: supervisor_of(store) not in (None, before))
    until(lambda: workers_of(store, "credit") == [endpoint.pid])
    os.kill(endpoint.pid, signal.SIGKILL)
    assert ask(store, endpoint, frame) == models[0].predict(frame).tolist()
    second, _ = actions.deploy(store, versions[1], name="credit")
    assert (second.port, second.version) == (endpoint.port, 2)


def test_what_was_killed_is_seen_as_dead_and_brought_up_again(store, versions, frame):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    stop_endpoints(store.settings)
    dead = _in_state(store, "credit", "dead")
    assert "nbmlops endpoints up" in dead.message
    with pytest.raises(DeployError, match="it is dead") as refused:
        ask(store, endpoint, frame)
    assert "nbmlops endpoints up" in refused.value.fix
    (again,) = actions.bring_up(store.settings)
    assert (again.state, again.url) == ("ready", endpoint.url)
    stop_endpoints(store.settings)
    again, was_made = actions.deploy(store, versions[0], name="credit")
    assert (was_made, again.port) == (True, endpoint.port)


def test_a_roll_back_goes_to_the_version_before_without_the_store(
    store, versions, models, frame
):
    first, _ = actions.deploy(store, versions[0], name="credit")
    with pytest.raises(UsageError, match="no version to roll back to"):
        actions.roll_back(store.settings, "credit")
    actions.deploy(store, versions[1], name="credit")
    back = actions.roll_back(replace(store.settings, tracking_uri=None), "credit")
    assert (back.version, back.port, back.state) == (1, first.port, "ready")
    assert back.message == "rolled back from credit/2"
    assert ask(store, back, frame) == models[0].predict(frame).tolist()


def test_another_token_holds_at_once_and_the_one_before_no_longer(
    store, versions, frame
):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    before = records.read_token(store.settings, "credit")
    token = actions.rotate_token(store.settings, "credit")
    assert token == records.read_token(store.settings, "credit") != before
    path = "/endpoints/credit/ping"
    until(
        lambda: client.ask(endpoint.port, path, token=token, timeout_s=5).status == 200
    )
    old = client.ask(endpoint.port, path, token=before, timeout_s=5)
    assert old.status == 401
    assert len(ask(store, endpoint, frame)) == 60


def test_workers_share_the_port_the_cores_and_their_counts(
    store, versions, models, frame
):
    endpoint, _ = actions.deploy(store, versions[0], name="credit", workers=2)
    pids = workers_of(store, "credit")
    assert len(pids) == 2
    expected = models[0].predict(frame).tolist()
    assert all(ask(store, endpoint, frame) == expected for _ in range(20))
    token = records.read_token(store.settings, "credit")
    path = "/endpoints/credit/metrics"

    def counted():
        text = client.ask(endpoint.port, path, token=token, timeout_s=5).body.decode()
        start = 'nbmlops_requests_total{endpoint="credit",role="champion",status="200"'
        (line,) = [each for each in text.splitlines() if each.startswith(start)]
        return float(line.rpartition(" ")[2])

    until(lambda: counted() == 20)
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: len(set(workers_of(store, "credit")) - {pids[0]}) == 2)
    assert ask(store, endpoint, frame) == expected
    second, _ = actions.deploy(store, versions[1], name="credit", workers=1)
    until(lambda: len(workers_of(store, "credit")) == 1)
    assert second.port == endpoint.port
    with pytest.raises(UsageError, match="0 workers"):
        actions.deploy(store, versions[1], name="credit", workers=0)


def supervisor_of(store):
    try:
        folder = records.root(store.settings)
        return control.request(folder, {"type": "status"}, starts=False)["pid"]
    except (OSError, DeployError):
        return None


def workers_of(store, name):
    folder = records.root(store.settings)
    answer = control.request(folder, {"type": "status"})
    return [each["pid"] for each in answer["endpoints"].get(name, [])]


def _in_state(store, name, state):
    endpoint = endpoints.get_endpoint(store.settings, name)
    return endpoint if endpoint.state == state else None


def test_an_endpoint_that_hangs_is_unresponsive_and_can_be_removed(
    store, versions, left_behind
):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    os.kill(endpoint.pid, signal.SIGSTOP)
    seen = endpoints.get_endpoint(store.settings, "credit")
    assert seen.state == "unresponsive"
    assert "%undeploy credit" in seen.message
    os.kill(endpoint.pid, signal.SIGCONT)
    assert endpoints.get_endpoint(store.settings, "credit").state == "ready"
    actions.undeploy(store.settings, "credit")
    assert left_behind() == []


def test_a_process_that_only_has_the_same_id_does_not_count(store, versions):
    actions.deploy(store, versions[0], name="credit")
    record = records.get_record(store.settings, "credit")
    stop_endpoints(store.settings)
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    reused = replace(record.processes[0], pid=sleeper.pid)
    root = records.root(store.settings)
    records.write_record(root, replace(record, processes=(reused,)))
    assert endpoints.get_endpoint(store.settings, "credit").state == "dead"
    actions.undeploy(store.settings, "credit")
    assert sleeper.poll() is None
    sleeper.communicate(b"\n")


def test_what_answers_in_place_of_the_recorded_version_is_reported(store, versions):
    actions.deploy(store, versions[0], name="credit")
    record = records.get_record(store.settings, "credit")
    root = records.root(store.settings)
    other = replace(record, champion=replace(record.champion, version=9))
    records.write_record(root, other)
    seen = endpoints.get_endpoint(store.settings, "credit")
    assert seen.state == "unresponsive"
    assert "credit/1 answers in place of credit/9" in seen.message
    records.write_record(root, record)


def test_undeploy_leaves_no_process_port_or_file(store, versions, left_behind):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    actions.undeploy(store.settings, "credit")
    assert left_behind() == []
    socket.create_server(("127.0.0.1", endpoint.port)).close()
    assert endpoints.list_endpoints(store.settings) == ()
    actions.deploy(store, versions[0], name="credit")
    stop_endpoints(store.settings)
    actions.undeploy(store.settings, "credit")
    assert left_behind() == []


def test_an_unknown_endpoint_names_the_nearest(store, versions, frame):
    actions.deploy(store, versions[0], name="credit")
    settings = store.settings
    for call in (
        lambda: endpoints.get_endpoint(settings, "credti"),
        lambda: actions.undeploy(settings, "credti"),
        lambda: records.get_record(settings, "credti"),
        lambda: endpoints.request(settings, "credti", b"{}"),
    ):
        with pytest.raises(NotFoundError, match=r"'credti'\. Did you mean 'credit'"):
            call()


@pytest.mark.parametrize(
    "name", ["", ".hidden", "a/b", "../x", "a b", "a~b", "-x", "x" * 64, "é", "a\n"]
)
def test_a_name_that_is_no_file_name_is_refused(store, versions, name, left_behind):
    with pytest.raises(UsageError, match="cannot name an endpoint"):
        actions.deploy(store, versions[0], name=name)
    with pytest.raises(NotFoundError):
        actions.undeploy(store.settings, name)
    assert left_behind() == []


def test_a_port_in_use_is_reported_before_anything_is_made(
    store, versions, left_behind
):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError, match=f"Port {port} is in use"):
            actions.deploy(store, versions[0], name="credit", port=port)
    assert left_behind() == []
    endpoint, _ = actions.deploy(store, versions[0], name="credit", port=port)
    assert endpoint.port == port


@pytest.mark.parametrize("port", [-1, 65536, 10**9])
def test_a_port_that_is_none_is_refused(store, versions, port, left_behind):
    with pytest.raises(UsageError, match=str(port)):
        actions.deploy(store, versions[0], name="credit", port=port)
    assert left_behind() == []


def test_an_open_endpoint_has_no_token_and_is_another_than_a_closed_one(
    store, versions, frame
):
    endpoint, _ = actions.deploy(store, versions[0], name="credit", no_auth=True)
    assert records.read_token(store.settings, "credit") is None
    assert len(ask(store, endpoint, frame)) == 60
    closed, was_made = actions.deploy(store, versions[0], name="credit")
    assert was_made
    assert records.read_token(store.settings, "credit")
    assert closed.pid != endpoint.pid


def _lose_the_file(files):
    (files / "model.skops").unlink()


def _change_the_example(files):
    text = json.dumps({"columns": ["a", "b"], "data": [["x", 1.0]]})
    (files / "input_example.json").write_text(text)


def _forget_a_column(files):
    text = (files / "MLmodel").read_text()
    changed = text.replace('"name": "b"', '"name": "c"')
    assert changed != text
    (files / "MLmodel").write_text(changed)
    rows = json.dumps({"columns": ["a", "c"], "data": [[1.0, 1.0]]})
    (files / "input_example.json").write_text(rows)


def _become_a_pickle(files):
    text = (files / "MLmodel").read_text()
    changed = text.replace(": skops", ": cloudpickle")
    assert changed != text
    (files / "MLmodel").write_text(changed)


@pytest.mark.parametrize(
    ("damage", "reported"),
    [
        (_lose_the_file, "model.skops"),
        (_become_a_pickle, "cloudpickle"),
        (_change_the_example, "input example: Row 0, column 'a': 'x' is not a number"),
        (_forget_a_column, "input example: .*feature names"),
    ],
)
def test_a_version_that_does_not_work_leaves_nothing(
    store, register, models, files_of, as_logged, left_behind, damage, reported
):
    version = register("frail", models[1])
    damage(files_of(version))
    as_logged(version)
    with pytest.raises(DeployError, match=reported) as refused:
        actions.deploy(store, version, name="frail")
    assert "Traceback" not in str(refused.value)
    assert left_behind() == []


def test_a_version_that_does_not_work_leaves_the_old_one_as_it_was(
    store, register, models, files_of, as_logged, left_behind
):
    good, bad = register("brittle", models[0]), register("brittle", models[1])
    _forget_a_column(files_of(bad))
    as_logged(bad)
    endpoint, _ = actions.deploy(store, good, name="brittle")
    there = left_behind()
    with pytest.raises(DeployError, match="fails on its own input example"):
        actions.deploy(store, bad, name="brittle")
    assert left_behind() == there
    assert endpoints.get_endpoint(store.settings, "brittle") == endpoint


def test_files_that_have_changed_since_they_were_logged_are_not_loaded(
    store, register, models, files_of, left_behind
):
    good, bad = register("kept", models[0]), register("kept", models[1])
    endpoint, _ = actions.deploy(store, good, name="kept")
    there = left_behind()
    shutil.copyfile(files_of(good) / "model.skops", files_of(bad) / "model.skops")
    with pytest.raises(DeployError, match="kept/2 are not those that were logged"):
        actions.deploy(store, bad, name="kept")
    assert left_behind() == there
    assert endpoints.get_endpoint(store.settings, "kept") == endpoint


def test_an_endpoints_copy_that_has_changed_is_not_loaded(
    store, versions, models, frame
):
    actions.deploy(store, versions[0], name="credit")
    second, _ = actions.deploy(store, versions[1], name="credit")
    folder = records.root(store.settings) / "credit" / "versions"
    shutil.copyfile(folder / "2/model/model.skops", folder / "1/model/model.skops")
    with pytest.raises(DeployError, match="copy of credit/1 has been changed"):
        actions.roll_back(store.settings, "credit")
    assert endpoints.get_endpoint(store.settings, "credit").version == 2
    assert ask(store, second, frame) == models[1].predict(frame).tolist()


_OWN = """
from sklearn.dummy import DummyRegressor

class Own(DummyRegressor):
    pass
"""


def test_loading_own_code_leaves_the_endpoints_copy_as_it_was(
    store, register_own, monkeypatch
):
    version = register_own("ours", "ours_own", _OWN)
    endpoint, _ = actions.deploy(store, version, name="ours", trust=("ours_own",))
    folder = records.root(store.settings) / "ours" / "versions" / "1" / "model"
    before = folder_digest(folder)
    code = """
import pathlib, sys
from nbmlops.serving.model import load
load(pathlib.Path(sys.argv[1]), name="ours", version=1, trust=("ours_own",))
"""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
    assert folder_digest(folder) == before
    os.kill(endpoint.pid, signal.SIGKILL)
    until(lambda: workers_of(store, "ours") not in ([], [endpoint.pid]))
    until(lambda: _in_state(store, "ours", "ready"))


def test_files_that_are_gone_are_reported_and_nothing_is_left(
    store, register, models, files_of, left_behind
):
    version = register("gone", models[0])
    (files_of(version) / "MLmodel").unlink()
    with pytest.raises(NotFoundError):
        actions.deploy(store, version, name="gone")
    assert left_behind() == []


def test_a_version_without_example_says_to_log_it_with_one(
    store, register, models, left_behind
):
    version = register("bare", models[0], None)
    with pytest.raises(UsageError, match="no input example") as refused:
        actions.deploy(store, version, name="bare")
    assert "run.log_model(model, X)" in refused.value.fix
    assert left_behind() == []


def test_an_endpoint_that_takes_too_long_is_given_up(store, versions, left_behind):
    hasty = replace(store, settings=replace(store.settings, deploy_timeout_s=0.05))
    with pytest.raises(DeployError, match="did not answer in time") as refused:
        actions.deploy(hasty, versions[0], name="credit")
    assert "NBMLOPS_DEPLOY_TIMEOUT_S" in refused.value.fix
    assert left_behind() == []


def test_two_deployers_at_once_make_one_endpoint(store, versions, left_behind):
    made = []

    def deploy():
        made.append(actions.deploy(store, versions[0], name="credit"))

    threads = [threading.Thread(target=deploy) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(was_made for _, was_made in made) == [False, False, True]
    assert len({endpoint.pid for endpoint, _ in made}) == 1
    assert len([p for p in left_behind() if isinstance(p, int)]) == 1


_DEPLOYER = """
import sys
from dataclasses import replace
from pathlib import Path
from nbmlops.config import Settings
from nbmlops._hashing import folder_digest
from nbmlops.deployment import actions, endpoints, files
from nbmlops.store import Store
from nbmlops.store.registry.versions import get_version
project, uri, mode = sys.argv[1:]
settings = Settings(project=Path(project), tracking_uri=uri)
store = Store(settings=settings, uri=uri)
version = get_version(store, "credit", 1)
if mode == "stuck":
    fetch = files.download_model
    def fetch_and_hang(*arguments):
        fetch(*arguments)
        print("fetched", flush=True)
        sys.stdin.read()
    files.download_model = fetch_and_hang
actions.deploy(store, version, name="credit")
print("deployed", flush=True)
"""


def start_deployer(store, mode):
    return subprocess.Popen(
        [sys.executable, "-c", _DEPLOYER, store.settings.project, store.uri, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_an_endpoint_outlives_the_process_that_made_it(store, versions, frame):
    deployer = start_deployer(store, "through")
    assert deployer.stdout.readline() == b"deployed\n"
    assert deployer.wait(30) == 0
    endpoint = endpoints.get_endpoint(store.settings, "credit")
    assert endpoint.state == "ready"
    assert len(ask(store, endpoint, frame)) == 60


def test_a_deployer_that_is_killed_leaves_no_process_and_can_be_followed(
    store, versions, left_behind
):
    deployer = start_deployer(store, "stuck")
    assert deployer.stdout.readline() == b"fetched\n"
    deployer.kill()
    deployer.wait()
    assert not [p for p in left_behind() if isinstance(p, int)]
    assert endpoints.list_endpoints(store.settings) == ()
    actions.deploy(store, versions[0], name="credit")
    actions.undeploy(store.settings, "credit")
    assert left_behind() == []


def test_a_project_that_cannot_be_written_is_reported_with_its_path(
    lone_store, versions
):
    lone_store.settings.home.mkdir()
    root = records.root(lone_store.settings)
    root.write_text("in the way")
    with pytest.raises(StoreError, match="endpoints") as refused:
        actions.deploy(lone_store, versions[0], name="credit")
    assert str(root) in str(refused.value)


def test_refused_input_carries_the_endpoints_own_words(store, versions, frame):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    with pytest.raises(UsageError, match=r"'aa'\. Did you mean 'a'"):
        ask(store, endpoint, frame.rename(columns={"a": "aa"}))
    with pytest.raises(UsageError, match="text/plain"):
        endpoints.request(store.settings, "credit", b"x", "text/plain")
    with pytest.raises(UsageError, match="10000000 bytes"):
        endpoints.request(store.settings, "credit", b" " * 20_000_000)


def test_the_example_is_a_row_to_try(store, versions, models, frame):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    record = records.get_record(store.settings, "credit")
    rows = read_example(records.model_folder(store.settings, record)).table()
    assert rows["columns"] == ["a", "b"]
    body = json.dumps({"dataframe_split": rows}).encode()
    answer = json.loads(endpoints.request(store.settings, endpoint.name, body).body)
    expected = models[0].predict(frame.head(len(rows["data"])))
    assert answer == {"predictions": expected.tolist()}


def test_a_record_of_an_older_format_is_named_and_can_be_removed(
    store, versions, left_behind, caplog
):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    path = records.root(store.settings) / "credit" / "endpoint.json"
    spec = json.loads(path.read_text())
    del spec["champion"]
    path.write_text(json.dumps({**spec, "pid": endpoint.pid}))
    assert endpoints.list_endpoints(store.settings) == ()
    (warning,) = caplog.messages
    assert warning.startswith("The record of endpoint credit is damaged, or of another")
    assert warning.endswith("Remove it: nbmlops undeploy credit")
    actions.undeploy(store.settings, "credit")
    assert [each for each in left_behind() if isinstance(each, str)] == []
