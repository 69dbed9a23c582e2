"""Endpoints and the kernels that make them."""

import pytest

import nbmlops as nm
from tests.kernels import kernel
from tests.notebooks import write_notebook

_MAKE = """
import nbmlops as nm, pandas as pd
from sklearn.linear_model import LogisticRegression
X = pd.DataFrame({"a": [0.0, 1, 2, 3]})
with nm.track("fit") as run:
    run.log_model(LogisticRegression().fit(X, [0, 0, 1, 1]), X)
nm.register("churn", alias="champion")
nm.deploy("churn@champion")
"""


@pytest.fixture
def _no_endpoint_left(project):
    yield
    for endpoint in nm.endpoints():
        nm.undeploy(endpoint.name)


@pytest.mark.kernel
@pytest.mark.server
@pytest.mark.usefixtures("_no_endpoint_left")
def test_endpoint_outlives_the_kernel_that_made_it(project):
    with kernel(project) as k:
        reply = k.run(_MAKE, timeout=120)
        assert reply.status == "ok", reply.text
    assert nm.endpoint("churn").status().state == "ready"
    assert nm.endpoint("churn").predict([{"a": 0.0}, {"a": 3.0}]).tolist() == [0, 1]


@pytest.mark.kernel
@pytest.mark.server
@pytest.mark.usefixtures("_no_endpoint_left")
def test_endpoint_outlives_the_step_that_made_it(project):
    nm.run_notebook(write_notebook(project / "step.ipynb", [_MAKE]))
    assert nm.endpoint("churn").status().state == "ready"


@pytest.mark.kernel
@pytest.mark.server
@pytest.mark.usefixtures("_no_endpoint_left")
def test_magics_deploy_list_predict_and_undeploy(project):
    with kernel(project) as k:
        k.run(_MAKE.rsplit("nm.deploy", 1)[0])
        k.run("%load_ext nbmlops")
        assert "ready" in k.run("%deploy churn@champion --name risk", 120).text
        assert "churn/1" in k.run("%endpoints").text
        assert k.run("%predict risk X").text.split() == [
            "prediction",
            "0",
            "0",
            "1",
            "1",
        ]
        wrong = k.run("%predict risk X.rename(columns={'a':'A'})")
        assert wrong.error == "UsageError"
        assert "Unknown column 'A'" in wrong.text
        assert k.run("%undeploy risk").status == "ok"
    assert nm.endpoints() == ()


@pytest.mark.server
@pytest.mark.usefixtures("_no_endpoint_left")
def test_alias_moves_when_the_endpoint_has_answered_and_not_before(project):
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    from nbmlops.errors import NbmlopsError

    X = pd.DataFrame({"a": [0.0, 1, 2, 3]})
    model = LogisticRegression().fit(X, [0, 0, 1, 1])
    with nm.track("served") as run:
        run.log_model(model, X)
    nm.register("churn", run=run.run_id, alias="champion")
    with nm.track("not served") as run:
        run.log_model(model)  # no example: no endpoint
    second = nm.register("churn", run=run.run_id)
    with pytest.raises(NbmlopsError):
        nm.deploy("churn/2", alias="champion")
    from nbmlops.store import connect
    from nbmlops.store.registry.registered_models import get_model

    assert second.version == 2
    assert get_model(connect(), "churn").aliases == {"champion": 1}
    endpoint = nm.deploy("churn/1", alias="live").endpoint
    assert (endpoint.version, endpoint.alias) == (1, "live")
    assert get_model(connect(), "churn").aliases == {"champion": 1, "live": 1}
