"""Pipelines whose steps register and deploy."""

import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

import nbmlops as nm
from nbmlops.entities import Action, StepReport
from nbmlops.errors import PipelineRunError
from nbmlops.lifecycle.pipeline_actions import find_gap
from nbmlops.store.registry import versions
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import ROOT, states, wait_for_senders, write_pipeline

TRAIN = """
import nbmlops as nm, pandas as pd
from sklearn.linear_model import LogisticRegression
X = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0]})
model = LogisticRegression(C=C).fit(X, [0, 0, 1, 1])
with nm.track("fit") as run:
    run.log(score=C)
    if logs:
        run.log_model(model, X)
"""

LIGHT_PLAN = """
import sys
from nbmlops.cli.main import invoke
assert invoke(["pipeline", "plan", "pipeline.yaml"]) == 0
assert not {"mlflow", "sqlalchemy", "pandas"} & sys.modules.keys()
"""


def why(path, store):
    """Return why each step would run that would."""
    steps = nm.Pipeline.load(path, store=store).plan().steps
    return {each.step: each.why for each in steps if each.state == "run"}


@pytest.mark.kernel
@pytest.mark.server
def test_the_best_model_is_registered_and_deployed_once(store, project):
    write_notebook(
        project / "train.ipynb", [TRAIN], parameters="C: float = 1.0\nlogs = True"
    )
    path = write_pipeline(
        project,
        """\
        name: churn
        steps:
          train: {notebook: train.ipynb, grid: {C: [0.1, 1.0]}, select: {metric: score}}
          register: {register: {model: churn, from: train, alias: champion}}
          deploy: {deploy: {endpoint: churn}}
        """,
    )
    try:
        report = nm.Pipeline.load(path, store=store).run().report
        assert set(states(report).values()) == {"done"}
        version = versions.get_version(store, "churn", 1)
        assert version.aliases == ("champion",)
        assert version.run_id == report.step("train").model_run_id
        assert report.step("train").step == "train[C=1.0]"
        assert report.step("register").values == {"model": "churn", "version": 1}
        endpoint = nm.endpoint("churn", store=store)
        assert report.step("deploy").values["url"] == endpoint.url
        assert list(endpoint.predict([{"a": 0.0}, {"a": 3.0}])) == [0, 1]

        again = nm.Pipeline.load(path, store=store).run().report
        assert set(states(again).values()) == {"cached"}
        plan = [sys.executable, "-c", LIGHT_PLAN]
        subprocess.run(plan, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
        forced = nm.Pipeline.load(path, store=store).run(force="register").report
        assert forced.step("register").values == {"model": "churn", "version": 1}

        # What others did to the registry and the endpoint since is done again.
        nm.undeploy("churn", store=store)
        assert why(path, store)["deploy"] == "endpoint 'churn' does not answer"
        report = nm.Pipeline.load(path, store=store).run().report
        assert [n for n, state in states(report).items() if state == "done"] == [
            "deploy"
        ]
        assert nm.endpoint("churn", store=store).status().state == "ready"

        other = next(
            each.model_run_id for each in report.steps if each.step == "train[C=0.1]"
        )
        nm.register("churn", run=other, alias="champion", store=store)
        assert why(path, store)["register"] == "alias 'champion' is at version 2"
        nm.promote("churn", 1, store=store)
        assert why(path, store) == {}

        nm.deploy("churn/2", name="churn", store=store)
        assert why(path, store) == {
            "deploy": "endpoint 'churn' answers with churn/2, not churn/1"
        }
        store.client.delete_registered_model_alias("churn", "champion")
        assert why(path, store)["register"] == "alias 'champion' is not set"
        store.client.delete_model_version("churn", "1")
        assert why(path, store)["register"] == "version 1 of 'churn' is gone"
        report = nm.Pipeline.load(path, store=store).run().report
        assert report.step("register").values == {"model": "churn", "version": 3}
        assert nm.endpoint("churn", store=store).version == 3
        assert versions.get_version(store, "churn", 3).aliases == ("champion",)
    finally:
        for each in nm.endpoints(store=store):
            nm.undeploy(each.name, store=store)
        wait_for_senders()


@pytest.mark.kernel
def test_a_step_that_logged_no_model_has_none_to_register(store, project):
    write_notebook(
        project / "train.ipynb", [TRAIN], parameters="C: float = 1.0\nlogs = True"
    )
    path = write_pipeline(
        project,
        """\
        steps:
          train: {notebook: train.ipynb, params: {logs: false}}
          register: {register: {model: churn, from: train}}
        """,
    )
    with pytest.raises(PipelineRunError, match="logged no model to register"):
        nm.Pipeline.load(path, store=store).run()
    wait_for_senders()


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"model": "churn", "version": 1}, ""),
        ({"model": "churn", "version": 2}, "version 2 of 'churn' is gone"),
        ({"model": "chrun", "version": 1}, "version 1 of 'chrun' is gone"),
        ({}, "version None of 'None' is gone"),
    ],
)
def test_a_version_that_is_not_what_was_registered_does_not_stand(store, values, found):
    store.client.create_registered_model("churn")
    store.client.create_model_version("churn", "/a", tags={versions.MODEL_ID: "m-1"})
    register = Action(kind="register", source="train", options={"model": "churn"})
    train = StepReport(step="train", state="done", model_id="m-1")
    assert find_gap(register, train, values, store.settings, store) == found
    if not found:  # another registry, with the same numbers
        other = replace(train, model_id="m-2")
        reported = find_gap(register, other, values, store.settings, store)
        assert reported == "version 1 of 'churn' is another model"


def test_a_store_that_does_not_answer_is_no_reason_to_stop_a_plan(store):
    with socket.socket() as held:  # nobody listens there
        held.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{held.getsockname()[1]}"
        settings = replace(store.settings, tracking_uri=uri)
        register = Action(kind="register", source=None, options={"model": "churn"})
        reported = find_gap(
            register, None, {"model": "churn", "version": 1}, settings, None
        )
    assert reported.startswith(
        "whether it still holds is not known: The tracking server"
    )
