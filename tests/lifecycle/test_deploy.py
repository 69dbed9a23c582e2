"""Endpoints and the kernels that make them."""

import time

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


@pytest.mark.server
@pytest.mark.usefixtures("_no_endpoint_left")
def test_what_endpoints_serve_is_in_the_audit_log(project):
    import mlflow
    from sklearn.dummy import DummyClassifier

    from nbmlops.config import load_settings
    from nbmlops.governance.audit_log import AuditLog
    from nbmlops.store import connect

    for answer in (1, 2, 3):
        with nm.track("fit") as run:
            model = DummyClassifier(strategy="constant", constant=answer)
            run.log_model(model.fit([[0.0]] * 3, [1, 2, 3]), [[0.0]])
        nm.register("churn", run=run.run_id)
    nm.promote("churn", 1)
    endpoint = nm.deploy("churn@champion", name="live")
    nm.deploy("churn@champion", name="live")  # it is there: nothing is done
    nm.deploy("churn/2", name="live", canary=0.5)
    endpoint.promote()
    endpoint.rollback()
    client = mlflow.MlflowClient(connect().uri)
    client.set_registered_model_alias("churn", "champion", "3")
    while nm.endpoint("live").status().version != 3:
        time.sleep(0.05)
    while AuditLog(load_settings()).read()[-1].after != 3:
        time.sleep(0.05)
    nm.undeploy("live")
    events = AuditLog(load_settings()).read("churn")
    assert [
        (event.what, event.alias or event.endpoint, event.before, event.after)
        for event in events
        if event.what != "version registered"
    ] == [
        ("alias moved", "champion", None, 1),
        ("deployed", "live", None, 1),
        ("deployed", "live", 1, 2),
        ("alias moved", "champion", 1, 2),
        ("rolled back", "live", 2, 1),
        ("alias noticed", "champion", 2, 3),
        ("deployed", "live", 1, 3),
        ("undeployed", "live", 3, None),
    ]
