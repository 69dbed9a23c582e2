"""From a step of a pipeline to the page of its run in MLflow."""

import os

import pytest
from playwright.sync_api import expect

from nbmlops.lifecycle.pipelines import Pipeline
from tests.notebooks import write_notebook
from tests.ui.conftest import PICTURES, serving
from tests.ui.lab import WORK_S

pytestmark = [pytest.mark.ui, pytest.mark.kernel]


@pytest.fixture
def server(mlflow_server, tmp_path, own_folders):
    """Return a JupyterLab of which the runs are on a tracking server."""
    names = ("MLFLOW_TRACKING_URI", "NBMLOPS_EXPERIMENT")
    env = own_folders | {name: os.environ[name] for name in names}
    with serving(tmp_path, env) as server:
        yield server


def test_the_run_of_a_step_is_opened_in_mlflow(lab, monkeypatch):
    write_notebook(lab.root / "train.ipynb", ["import nbmlops as nm\nnm.emit(auc=0.9)"])
    path = lab.root / "pipeline.yaml"
    path.write_text("name: churn\nsteps:\n  train: {notebook: train.ipynb}\n")
    monkeypatch.chdir(lab.root)
    (step,) = Pipeline.load(path).run().report.steps
    lab.open_file("pipeline.yaml")
    steps = lab.page.get_by_role("list", name="Steps of churn").get_by_role("button")
    steps.filter(has_text="train").click()
    lab.press("Show the run of train")
    link = lab.dialog.get_by_role("link", name="Open in MLflow")
    expect(link).to_be_visible()
    lab.screenshot(PICTURES / "run-of-server-light.png")
    lab.set_theme(is_dark=True)
    lab.screenshot(PICTURES / "run-of-server-dark.png")
    with lab.page.context.expect_page() as opened:
        link.click()
    page = opened.value
    expect(page.get_by_text(str(step.run_id)).first).to_be_visible(
        timeout=WORK_S * 1000
    )
    expect(page.get_by_text("auc").first).to_be_visible()
    page.screenshot(path=PICTURES / "run-of-server-in-mlflow.png")
    assert lab.complaints == []
