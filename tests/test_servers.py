"""The MLflow server of the tests dies and comes back with what it was reported."""

import mlflow
import pytest

from tests.servers import serving


@pytest.mark.server
def test_killed_server_comes_back_on_its_port_with_what_it_was_reported(mlflow_server):
    client = mlflow.MlflowClient(tracking_uri=mlflow_server.url)
    run_id = client.create_run("0").info.run_id
    client.log_metric(run_id, "x", 1.0)
    mlflow_server.kill()
    assert not mlflow_server.is_running
    mlflow_server.start()
    assert client.get_run(run_id).data.metrics == {"x": 1.0}


@pytest.mark.server
def test_server_on_postgres_keeps_what_it_was_reported_there(postgres_uri, tmp_path):
    with serving(tmp_path, postgres_uri) as server:
        client = mlflow.MlflowClient(tracking_uri=server.url)
        run_id = client.create_run("0").info.run_id
        client.log_metric(run_id, "x", 1.0)
    behind = mlflow.MlflowClient(tracking_uri=postgres_uri)
    assert behind.get_run(run_id).data.metrics == {"x": 1.0}
