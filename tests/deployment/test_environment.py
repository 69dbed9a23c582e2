"""An endpoint whose workers have the packages that its model was logged with."""

import os
import re
import signal

import pytest
import sklearn

from nbmlops.deployment import actions, endpoints
from nbmlops.deployment.environment import make_environment
from nbmlops.errors import DeployError
from tests.deployment.test_endpoints import ask, supervisor_of, until, workers_of

OTHER = "1.8.0" if sklearn.__version__ != "1.8.0" else "1.7.2"


@pytest.fixture
def pinned(register, models, files_of, as_logged):
    """Register a version that says that it was logged with other packages."""

    def add(*changes):
        version = register("pinned", models[0])
        file = files_of(version) / "requirements.txt"
        text = file.read_text()
        for pattern, line in changes:
            text, n = re.subn(rf"(?m)^{pattern}.*$", line, text)
            assert n == 1
        file.write_text(text)
        as_logged(version)
        return version

    return add


def asked_by(store, said):
    def environment(model):
        return make_environment(store.settings, model, announce=said.append)

    return environment


@pytest.mark.server
def test_where_nothing_differs_nothing_is_made(store, versions, models, frame):
    said = []
    endpoint, _ = actions.deploy(
        store, versions[0], name="credit", environment=asked_by(store, said)
    )
    assert ask(store, endpoint, frame) == models[0].predict(frame).tolist()
    assert said == []
    assert not (store.settings.home / "environments").exists()


@pytest.mark.server
def test_what_cannot_be_made_is_named_first_and_leaves_the_version_before(
    store, versions, pinned, left_behind
):
    first, _ = actions.deploy(store, versions[0], name="credit")
    there = left_behind()
    version = pinned(("scikit-learn", "scikit-learn==0.0.99"))
    said = []
    with pytest.raises(
        DeployError, match=r"could not be made: .*scikit-learn"
    ) as error:
        actions.deploy(store, version, name="pinned", environment=asked_by(store, said))
    assert f"  scikit-learn==0.0.99, here {sklearn.__version__}" in said
    assert "uv can install" in error.value.fix
    assert left_behind() == there
    assert endpoints.get_endpoint(store.settings, "credit") == first


@pytest.mark.slow
@pytest.mark.server
def test_a_model_is_served_with_its_own_packages(store, pinned, models, frame):
    version = pinned(("scikit-learn", f"scikit-learn=={OTHER}"))
    said = []
    environment = asked_by(store, said)
    endpoint, _ = actions.deploy(store, version, name="pinned", environment=environment)
    expected = models[0].predict(frame).tolist()
    assert ask(store, endpoint, frame) == expected
    command = open(f"/proc/{endpoint.pid}/cmdline").read()  # noqa: PTH123, SIM115
    assert str(store.settings.home / "environments") in command
    n_said = len(said)
    os.kill(endpoint.pid, signal.SIGKILL)
    assert ask(store, endpoint, frame) == expected
    until(lambda: endpoints.get_endpoint(store.settings, "pinned").state == "ready")
    before = supervisor_of(store)
    (worker,) = workers_of(store, "pinned")
    os.kill(before, signal.SIGKILL)
    until(lambda: supervisor_of(store) not in (None, before))
    assert ask(store, endpoint, frame) == expected
    assert workers_of(store, "pinned") == [worker]
    actions.undeploy(store.settings, "pinned")
    actions.deploy(store, version, name="pinned", environment=environment)
    assert len(said) == 2 * n_said - 1  # it is made once
