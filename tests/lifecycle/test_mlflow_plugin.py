"""``mlflow deployments -t nbmlops``, and MLflow's Python client of the same."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LogisticRegression

import nbmlops as nm
from tests.deployment.conftest import stop_endpoints

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(3)
    return pd.DataFrame({"a": rng.normal(size=40), "b": rng.normal(size=40)})


@pytest.fixture(scope="module")
def churn(tmp_path_factory, frame):
    """Return a project with two versions of a model."""
    folder = tmp_path_factory.mktemp("project") / "my project"
    (folder / ".nbmlops").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for n, column in enumerate("ab"):
            model = LogisticRegression().fit(frame, frame[column] > 0)
            with nm.track(f"fit {n}") as run:
                run.log_model(model, frame)
            alias = "champion" if n == 0 else "challenger"
            nm.register("churn", run=run.run_id, alias=alias)
    return folder


@pytest.fixture
def project(churn, monkeypatch):
    from nbmlops.config import load_settings

    monkeypatch.chdir(churn)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield churn
    for endpoint in nm.endpoints():
        nm.undeploy(endpoint.name)
    stop_endpoints(load_settings(churn))


def predicted(frame, column):
    return (frame[column] > 0).tolist()


def test_a_deployment_is_created_asked_updated_and_deleted(project, frame):
    client = get_deploy_client("nbmlops")
    made = client.create_deployment(
        "churn", "models:/churn@champion", config={"no_auth": "true"}
    )
    assert (made["name"], made["flavor"], made["version"]) == ("churn", "sklearn", 1)
    assert (made["alias"], made["state"]) == ("champion", "ready")
    rows = frame[frame.abs().min(axis=1) > 0.5]
    assert client.predict("churn", rows)["predictions"] == predicted(rows, "a")
    for request in (
        {"dataframe_split": rows.to_dict("split")},
        rows.to_dict("list"),
    ):
        answer = client.predict("churn", request)
        assert json.loads(answer.to_json())["predictions"] == predicted(rows, "a")
    answer = client.predict("churn", rows).get_predictions()
    assert answer[0].tolist() == predicted(rows, "a")

    canary = client.update_deployment(
        "churn", "models:/churn/2", config={"canary": "10%"}
    )
    assert (canary["version"], canary["canary_version"]) == (1, 2)
    assert canary["canary_share"] == 0.1
    nm.endpoint("churn").abort()
    updated = client.update_deployment("churn", "models:/churn/latest")
    assert (updated["flavor"], updated["version"]) == ("sklearn", 2)
    assert nm.endpoint("churn").token is None  # it stays as it was created
    assert client.predict("churn", rows)["predictions"] == predicted(rows, "b")

    assert client.get_deployment("churn")["version"] == 2
    assert [each["name"] for each in client.list_deployments()] == ["churn"]
    client.update_deployment("churn", config={"no_auth": "false"})
    assert nm.endpoint("churn").token
    client.delete_deployment("churn")
    client.delete_deployment("churn")
    assert client.list_deployments() == []


@pytest.mark.parametrize(
    ("code", "says", "call"),
    [
        (
            "RESOURCE_DOES_NOT_EXIST",
            "No registered model 'chrun'",
            lambda client: client.create_deployment("x", "models:/chrun/1"),
        ),
        (
            "RESOURCE_DOES_NOT_EXIST",
            "no alias 'champ'. Did you mean 'champion'",
            lambda client: client.create_deployment("x", "models:/churn@champ"),
        ),
        (
            "INVALID_PARAMETER_VALUE",
            "is no version of a registered model",
            lambda client: client.create_deployment("x", "runs:/0123/model"),
        ),
        (
            "INVALID_PARAMETER_VALUE",
            "names no version",
            lambda client: client.create_deployment("x", "models:/churn/Production"),
        ),
        (
            "INVALID_PARAMETER_VALUE",
            "no target 'raay'. Did you mean 'ray'",
            lambda client: client.create_deployment(
                "x", "models:/churn/1", config={"target": "raay"}
            ),
        ),
        (
            "INVALID_PARAMETER_VALUE",
            "Unknown config 'prot'. Did you mean 'port'",
            lambda client: client.create_deployment(
                "x", "models:/churn/1", config={"prot": "1"}
            ),
        ),
        (
            "INVALID_PARAMETER_VALUE",
            "no_auth is 'maybe'",
            lambda client: client.create_deployment(
                "x", "models:/churn/1", config={"no_auth": "maybe"}
            ),
        ),
        (
            "INVALID_PARAMETER_VALUE",
            "The flavor is the model's own",
            lambda client: client.create_deployment("x", "models:/churn/1", "sklearn"),
        ),
        (
            "RESOURCE_DOES_NOT_EXIST",
            "No endpoint 'x'",
            lambda client: client.update_deployment("x", "models:/churn/1"),
        ),
        (
            "RESOURCE_DOES_NOT_EXIST",
            "No endpoint 'x'",
            lambda client: client.predict("x", [[1, 2]]),
        ),
    ],
)
def test_an_error_is_mlflows_in_two_lines(project, code, says, call):
    with pytest.raises(MlflowException) as found:
        call(get_deploy_client("nbmlops"))
    assert found.value.error_code == code
    problem, fix = found.value.message.split("\n")
    assert says in problem
    assert fix


def test_what_is_there_is_not_created_again(project, frame):
    client = get_deploy_client("nbmlops")
    client.create_deployment("churn", "models:/churn/1")
    with pytest.raises(MlflowException, match="There is a deployment 'churn'"):
        client.create_deployment("churn", "models:/churn/2")
    with pytest.raises(MlflowException, match="Row 0, column 'a'"):
        client.predict("churn", frame.assign(a="much"))


@pytest.mark.parametrize("target", ["nbmlops:/prod", "nbmlops://prod"])
def test_there_is_one_target(project, target):
    with pytest.raises(MlflowException, match="Use nbmlops"):
        get_deploy_client(target)


def mlflow(*words):
    command = [sys.executable, "-m", "mlflow", "deployments", *words, "-t", "nbmlops"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line_creates(project):
    model = ("-m", "models:/churn/1")
    said = mlflow("create", "--name", "churn", *model, "-C", "no_auth=true")
    assert "sklearn deployment churn is created" in said
    assert nm.endpoint("churn").status().state == "ready"


@pytest.mark.slow
def test_the_command_line_does_all_of_it(project, frame, tmp_path):
    assert "no_auth" in mlflow("help")
    named = ("--name", "churn")
    mlflow("run-local", *named, "-m", "models:/churn@champion")
    assert "'churn'" in mlflow("list")
    assert "version: 1" in mlflow("get", *named)
    rows = frame[frame.abs().min(axis=1) > 0.5]
    rows.to_json(tmp_path / "rows.json")
    asked = ("predict", *named, "-I", str(tmp_path / "rows.json"))
    assert json.loads(mlflow(*asked)) == {"predictions": predicted(rows, "a")}
    said = mlflow("update", *named, "-m", "models:/churn/latest")
    assert "Deployment churn is updated (with flavor sklearn)" in said
    mlflow(*asked, "-O", str(tmp_path / "answer.json"))
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer == {"predictions": predicted(rows, "b")}
    assert "Deployment churn is deleted" in mlflow("delete", *named)
    assert nm.endpoints() == ()
