"""A version beside the champion: a share of the requests, or copies of all."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from nbmlops.deployment import actions, endpoints, records
from nbmlops.deployment.request_log import log_folder, read_log
from nbmlops.errors import ConflictError, UsageError

from .people import CITIES, Client
from .test_endpoints import supervisor_of, until, workers_of

pytestmark = pytest.mark.server


@pytest.fixture
def served(store, rollout_versions):
    endpoint, _ = actions.deploy(store, rollout_versions["champion"], name="people")
    return Client(store, endpoint)


def canary(store, version, **options):
    options = {"share": 0.3, "rules": {}, **options}
    return actions.begin_canary(store, version, name="people", **options)


def test_a_canary_answers_its_share_and_is_promoted(store, rollout_versions, served):
    seen = canary(store, rollout_versions["equal"])
    assert (seen.canary_version, seen.canary_share) == (2, 0.3)
    for _ in range(300):
        served.send()
    assert set(served.statuses) == {200}
    assert 50 < served.versions.count("people/2") < 130
    now = actions.promote(store.settings, "people")
    assert (now.version, now.previous_version, now.canary_version) == (2, 1, None)
    assert served.send()["predictions"] == ["old"]
    until(lambda: served.send() and served.versions[-1] == "people/2")
    assert len(workers_of(store, "people")) == 1


def test_a_key_stays_with_its_version(store, rollout_versions, served):
    canary(store, rollout_versions["equal"])
    by_key = {
        str(key): {
            served.send(**{"x-request-key": str(key)}) and served.versions[-1]
            for _ in range(5)
        }
        for key in range(40)
    }
    assert all(len(versions) == 1 for versions in by_key.values())
    assert len({versions.pop() for versions in by_key.values()}) == 2


def test_an_aborted_canary_answers_no_more(store, rollout_versions, served):
    canary(store, rollout_versions["equal"], share=0.9)
    now = actions.abort(store.settings, "people")
    assert (now.canary_version, now.message) == (None, "the canary was aborted")
    served.send()
    seen = len(served.versions)
    for _ in range(50):
        served.send()
    assert set(served.versions[seen:]) == {"people/1"}
    with pytest.raises(UsageError, match="has no canary"):
        actions.promote(store.settings, "people")


@pytest.mark.parametrize(
    ("name", "rules", "reason"),
    [
        ("raising", {"error_share": 0.05, "min_requests": 50}, "error_share"),
        ("flipped", {"prediction_shift": 0.2, "min_requests": 50}, "prediction_shift"),
        ("slow", {"latency_ms_p99": 20, "min_requests": 50}, "latency_ms_p99"),
    ],
)
def test_a_canary_that_breaks_a_rule_is_rolled_back_and_nobody_gets_its_errors(
    store, rollout_versions, served, name, rules, reason
):
    version = rollout_versions[name]
    canary(store, version, share=0.5, rules=rules)
    rng, until_s = np.random.default_rng(1), time.monotonic() + 60
    while endpoints.get_endpoint(store.settings, "people").canary_version is not None:
        assert time.monotonic() < until_s
        for _ in range(20):
            served.send(rng.choice(CITIES), int(rng.integers(45, 60)))  # all are old
    message = endpoints.get_endpoint(store.settings, "people").message
    assert message.startswith(f"people/{version.version} was rolled back: {reason} ")
    assert set(served.statuses) == {200}
    seen = len(served.versions)
    for _ in range(30):
        served.send()
    assert set(served.versions[seen:]) == {"people/1"}


def test_a_good_canary_stays(store, rollout_versions, served):
    rules = {"error_share": 0.01, "prediction_shift": 0.1, "min_requests": 50}
    canary(store, rollout_versions["equal"], share=0.5, rules=rules)
    rng = np.random.default_rng(2)
    for _ in range(400):
        served.send(rng.choice(CITIES), int(rng.integers(20, 60)))
    time.sleep(0.6)  # the last counts have arrived
    assert endpoints.get_endpoint(store.settings, "people").canary_version == 2
    assert set(served.statuses) == {200}


def test_a_canary_that_is_killed_is_rolled_back_and_the_champion_answers(
    store, rollout_versions, served
):
    canary(store, rollout_versions["equal"], share=0.9)
    (pid,) = set(workers_of(store, "people")) - {
        endpoints.get_endpoint(store.settings, "people").pid
    }
    asking, is_over = [], threading.Event()

    def go_on_asking():
        while not is_over.is_set():
            asking.append(served.send()["predictions"])

    thread = threading.Thread(target=go_on_asking)
    thread.start()
    os.kill(pid, signal.SIGKILL)
    until(
        lambda: endpoints.get_endpoint(store.settings, "people").canary_version is None
    )
    is_over.set()
    thread.join()
    assert "its worker died" in endpoints.get_endpoint(store.settings, "people").message
    assert set(served.statuses) == {200}


def test_rules_hold_under_the_next_supervisor_too(store, rollout_versions, served):
    rules = {"prediction_shift": 0.2, "min_requests": 50}
    canary(store, rollout_versions["flipped"], share=0.5, rules=rules)
    before = supervisor_of(store)
    os.kill(before, signal.SIGKILL)
    until(lambda: supervisor_of(store) not in (None, before))
    until(lambda: len(workers_of(store, "people")) == 2)
    until_s = time.monotonic() + 60
    while endpoints.get_endpoint(store.settings, "people").canary_version is not None:
        assert time.monotonic() < until_s
        served.send("Bern", 50)
    assert set(served.statuses) == {200}


def test_a_shadow_gets_copies_and_answers_nobody(store, rollout_versions, served):
    seen = actions.begin_shadow(store, rollout_versions["flipped"], name="people")
    assert seen.shadow_version == 4
    for age in range(20, 60):
        assert served.send("Bern", age)["predictions"] != []
    assert set(served.versions) == {"people/1"}
    folder = log_folder(store.settings, "people")

    until(lambda: (read_log(folder).route == "shadow").sum() == 40)
    log = read_log(folder)
    wide = log.pivot(index="request_id", columns="route", values="prediction")
    assert len(wide.dropna()) == 40
    assert (wide.champion != wide.shadow).all()
    actions.end_shadow(store.settings, "people")
    served.send()
    assert endpoints.get_endpoint(store.settings, "people").shadow_version is None


def test_what_cannot_be_a_canary_is_refused(store, rollout_versions, served, versions):
    with pytest.raises(ConflictError, match="is what 'people' serves"):
        canary(store, rollout_versions["champion"])
    with pytest.raises(ConflictError, match="serves people/1"):
        canary(store, versions[0])
    for share in (0, 1, -0.1, float("nan")):
        with pytest.raises(UsageError, match="of the requests"):
            canary(store, rollout_versions["equal"], share=share)
    with pytest.raises(UsageError, match=r"'eror_share'\. Did you mean 'error_share'"):
        canary(store, rollout_versions["equal"], rules={"eror_share": 0.1})
    canary(store, rollout_versions["equal"])
    with pytest.raises(ConflictError, match="people/2 is the canary"):
        canary(store, rollout_versions["flipped"])
    more = canary(store, rollout_versions["equal"], share=0.8)
    assert more.canary_share == 0.8


def test_another_share_leaves_the_rules_as_they_are(store, rollout_versions, served):
    rules = {"error_share": 0.2, "min_requests": 7}
    canary(store, rollout_versions["equal"], rules=rules)
    canary(store, rollout_versions["equal"], share=0.8, rules=None)
    record = records.get_record(store.settings, "people")
    assert (record.canary.share, record.canary.rules) == (0.8, rules)
