"""The same work against a real MLflow server instead of the embedded store."""

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import nbmlops as nm
from nbmlops.errors import NotFoundError, StoreError
from nbmlops.store import connect, versions
from nbmlops.store.artifacts import read_file

X = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})


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
