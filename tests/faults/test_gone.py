"""A server that is gone for good does not hold the notebook up, nor lose its run."""

import time

import mlflow
import pytest

from tests.chaos import chaos
from tests.faults.kills import nbmlops
from tests.kernels import kernel

CELL = """%%track gone -e faults
for step in range(1234):
    %track log loss=step/2 --step step
    if step == 500:
        from pathlib import Path
        import time
        Path("half").touch()
        while not Path("on").exists():
            time.sleep(0.01)
"""


@pytest.mark.server
@pytest.mark.kernel
def test_notebook_ends_while_the_server_is_gone_and_is_sent_later(
    project, mlflow_server
):
    with chaos(mlflow_server.port) as proxy:
        with kernel(project, {"MLFLOW_TRACKING_URI": proxy.url}) as k:
            assert k.run("%load_ext nbmlops").status == "ok"
            sent = k.send(CELL)
            deadline = time.monotonic() + 60
            while not (project / "half").exists():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            proxy.set("down")
            (project / "on").touch()
            began = time.monotonic()
            reply = k.wait(sent)
            assert time.monotonic() - began < 60  # MLflow alone: minutes
            assert reply.status == "ok"
            assert "nbmlops sync" in reply.text
            began = time.monotonic()
        assert time.monotonic() - began < 60
        client = mlflow.MlflowClient(tracking_uri=mlflow_server.url)
        assert _runs(client)["gone"].info.status == "RUNNING"
        proxy.set("pass")
        done = nbmlops(project, "sync", uri=proxy.url)
        assert done.returncode == 0, done.stderr
    run = _runs(client)["gone"]
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((m.step, m.value) for m in history) == [
        (step, step / 2) for step in range(1234)
    ]


def _runs(client):
    experiment = client.get_experiment_by_name("faults")
    found = client.search_runs([experiment.experiment_id])
    return {run.info.run_name: run for run in found}
