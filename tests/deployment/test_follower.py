"""An alias that moves is followed: by the version that it names, if that works."""

import mlflow
import pytest
from sklearn.dummy import DummyClassifier

from nbmlops.deployment import actions, endpoints, records
from nbmlops.deployment.handle import EndpointHandle
from nbmlops.store.models.own_code import ANY

from .test_endpoints import until

pytestmark = pytest.mark.server


@pytest.fixture(scope="session")
def loans(register, frame):
    """Return three versions that answer their own number."""
    return [register("loans", constant(frame, number)) for number in "123"]


def constant(frame, number):
    return DummyClassifier().fit(frame, [number] * len(frame))


@pytest.fixture
def client(store):
    return mlflow.MlflowClient(store.uri)


def answer_of(store, frame):
    handle = EndpointHandle(
        store.settings, endpoints.get_endpoint(store.settings, "loans")
    )
    return handle.predict(frame.head(1)).tolist()[0]


def test_the_version_that_an_alias_names_takes_over(store, loans, client, frame):
    client.set_registered_model_alias("loans", "live", "1")
    first, _ = actions.deploy(store, loans[0], name="loans", alias="live")
    assert answer_of(store, frame) == "1"
    client.set_registered_model_alias("loans", "live", "2")
    until(lambda: answer_of(store, frame) == "2")
    now = endpoints.get_endpoint(store.settings, "loans")
    assert (now.version, now.port, now.previous_version) == (2, first.port, 1)
    back = actions.roll_back(store.settings, "loans")
    assert back.message == "rolled back from loans/2, which is live still"
    assert answer_of(store, frame) == "1"
    client.set_registered_model_alias("loans", "live", "3")
    until(lambda: answer_of(store, frame) == "3")


def test_a_version_that_does_not_work_is_not_served_and_the_endpoint_says_why(
    store, loans, register, client, frame, files_of, as_logged
):
    bad = register("loans", constant(frame, "4"))
    (files_of(bad) / "model.skops").write_bytes(b"PK")
    as_logged(bad)
    client.set_registered_model_alias("loans", "live", "1")
    actions.deploy(store, loans[0], name="loans", alias="live")
    client.set_registered_model_alias("loans", "live", str(bad.version))
    until(lambda: endpoints.get_endpoint(store.settings, "loans").message)
    seen = endpoints.get_endpoint(store.settings, "loans")
    assert (seen.version, seen.state) == (1, "ready")
    assert seen.message.startswith(f"loans/{bad.version} is not served: ")
    assert "model.skops" in seen.message
    assert answer_of(store, frame) == "1"
    client.set_registered_model_alias("loans", "live", "2")
    until(lambda: answer_of(store, frame) == "2")
    assert endpoints.get_endpoint(store.settings, "loans").message == ""


_OWN = """
import pathlib
from sklearn.dummy import DummyRegressor

pathlib.Path(RAN).touch()

class Own(DummyRegressor):
    pass
"""


def test_trust_in_one_version_is_none_in_the_next(
    store, loans, register_own, client, frame, tmp_path
):
    ran = tmp_path / "ran"
    own = register_own("loans", "unasked", f"RAN = {str(ran)!r}{_OWN}")
    ran.unlink()
    client.set_registered_model_alias("loans", "live", "1")
    actions.deploy(store, loans[0], name="loans", alias="live", trust=ANY)
    client.set_registered_model_alias("loans", "live", str(own.version))
    until(lambda: endpoints.get_endpoint(store.settings, "loans").message)
    seen = endpoints.get_endpoint(store.settings, "loans")
    assert seen.message.startswith(f"loans/{own.version} is not served: ")
    assert "If you trust that code" in seen.message
    assert (answer_of(store, frame), ran.exists()) == ("1", False)
    actions.deploy(store, own, name="loans", alias="live", trust=ANY)
    assert ran.exists()
    assert endpoints.get_endpoint(store.settings, "loans").message == ""


def test_an_endpoint_waits_for_the_alias_that_is_to_move_to_its_version(
    store, loans, client, frame
):
    client.set_registered_model_alias("loans", "live", "1")
    actions.deploy(store, loans[1], name="loans", alias="live", not_followed=1)
    assert answer_of(store, frame) == "2"
    client.set_registered_model_alias("loans", "live", "2")
    folder = records.root(store.settings)
    until(lambda: records.find_record(folder, "loans").not_followed is None)
    assert answer_of(store, frame) == "2"
    client.set_registered_model_alias("loans", "live", "1")
    until(lambda: answer_of(store, frame) == "1")


def test_an_endpoint_of_a_number_follows_nothing(store, loans, client, frame):
    client.set_registered_model_alias("loans", "live", "1")
    actions.deploy(store, loans[1], name="loans")
    client.set_registered_model_alias("loans", "live", "3")
    assert endpoints.get_endpoint(store.settings, "loans").version == 2
    assert answer_of(store, frame) == "2"
