"""Pipelines and tracked steps in JupyterLab: seen, run, stopped, and fixed."""

import pytest
from playwright.sync_api import expect

from nbmlops.config import load_settings
from nbmlops.store import connect
from nbmlops.store.runs.queries import list_runs
from tests.notebooks import write_notebook
from tests.ui.conftest import PICTURES, folders_in, serving
from tests.ui.lab import WORK_S

pytestmark = [pytest.mark.ui, pytest.mark.kernel]

HOSTILE = "<img src=x onerror='window.hacked=1'>"
WAIT = (
    "import time\nfrom pathlib import Path\n"
    "while not Path('go').exists(): time.sleep(0.02)"
)
TRAIN = """from typing import Literal
C: float = 1.0  # inverse of the penalty
kind: Literal["l1", "l2"] = "l2"
is_fast: bool = False
layers: tuple[int, ...] = (50, 50)
"""
PIPELINE = """\
name: churn
steps:
  prepare: {notebook: prepare.ipynb}
  quality: {notebook: quality.ipynb, needs: [prepare]}
  train:
    notebook: train.ipynb
    needs: [prepare]
    grid: {C: [0.1, 1.0]}
    select: {metric: auc}
  report: {notebook: report.ipynb, needs: [quality, train]}
"""


@pytest.fixture(scope="module")
def one_server(tmp_path_factory):
    """Start one JupyterLab for the tests of this file."""
    folder = tmp_path_factory.mktemp("pipelines")
    with serving(folder, folders_in(folder)) as server:
        yield server


@pytest.fixture
def server(one_server):
    """Return a JupyterLab; what an earlier test has made is gone."""
    for path in one_server.root.glob("[!.]*.*"):
        path.unlink()
    (one_server.root / "go").unlink(missing_ok=True)
    return one_server


def test_a_pipeline_is_seen_run_and_run_again_from_a_step(lab):
    root = lab.root
    write_notebook(root / "prepare.ipynb", ["print('ready')"])
    write_notebook(root / "quality.ipynb", ["print('first')", WAIT, "print('last')"])
    emit = "import nbmlops as nm\nnm.emit(auc=1 - C / 10)"
    write_notebook(root / "train.ipynb", [emit], parameters=TRAIN)
    write_notebook(root / "report.ipynb", [f"print({HOSTILE!r})"])
    (root / "pipeline.yaml").write_text(PIPELINE)
    lab.open_file("pipeline.yaml")

    view = lab.page.locator(".nbmlops-PipelinePanel")
    steps = lab.page.get_by_role("list", name="Steps of churn").get_by_role("button")
    expect(steps).to_have_count(4)
    expect(view.get_by_role("status")).to_have_text("5 of 5 to run")
    expect(steps.nth(0)).to_contain_text("not run before")
    lab.screenshot(PICTURES / "pipeline-plan-light.png")

    lab.press("Run", within=view)
    quality = steps.filter(has_text="quality.ipynb")
    expect(quality).to_contain_text("cell 2 of 3", timeout=WORK_S * 1000)
    train = steps.filter(has_text="train.ipynb")
    expect(train).to_contain_text("done", timeout=WORK_S * 1000)
    quality.focus()
    lab.page.keyboard.press("Enter")
    details = view.get_by_role("region", name="Step quality")
    expect(details).to_contain_text("import time")
    lab.screenshot(PICTURES / "pipeline-running-light.png")
    lab.set_theme(is_dark=True)
    lab.screenshot(PICTURES / "pipeline-running-dark.png")

    (root / "go").touch()
    status = view.get_by_role("status")
    expect(status).to_have_text(
        "Nothing to run: all results are cached", timeout=WORK_S * 1000
    )
    train.click()
    details = view.get_by_role("region", name="Step train")
    units = details.get_by_role("list", name="Runs of train").get_by_role("listitem")
    expect(units).to_have_count(2)
    expect(units.filter(has_text="selected")).to_contain_text("train[C=0.1]")
    lab.screenshot(PICTURES / "pipeline-done-dark.png")
    details.get_by_role("button", name="Show the run of train[C=0.1]").click()
    expect(lab.dialog).to_contain_text("auc")
    expect(lab.dialog).to_contain_text("0.99")
    lab.screenshot(PICTURES / "pipeline-run-dark.png")
    lab.page.keyboard.press("Escape")

    lab.press("Run from here", within=details)
    report = steps.filter(has_text="report.ipynb")
    expect(steps.nth(0)).to_contain_text("cached")
    expect(status).to_contain_text("Nothing to run", timeout=WORK_S * 1000)
    lab.set_theme(is_dark=False)
    report.click()
    lab.press("Open the executed notebook of report")
    expect(lab.page.get_by_text(HOSTILE).first).to_be_visible()
    lab.screenshot(PICTURES / "pipeline-executed-light.png")
    assert lab.page.evaluate("window.hacked") is None
    kinds = [
        run.tags["nbmlops.kind"]
        for run in list_runs(connect(load_settings(root)), limit=100).items
    ]
    assert kinds.count("pipeline") == 2
    assert lab.complaints == []


def test_the_faults_of_a_file_are_shown_until_it_is_fixed(lab):
    write_notebook(lab.root / "train.ipynb", ["1 + 1"])
    path = lab.root / "night.pipeline.yaml"
    path.write_text(
        "steps:\n  train: {notebok: train.ipynb}\n"
        f"  {HOSTILE!r}: {{notebook: x.ipynb}}\n"
    )
    lab.open_file("night.pipeline.yaml", is_dark=True)
    view = lab.page.locator(".nbmlops-PipelinePanel")
    alert = view.get_by_role("alert")
    expect(alert).to_contain_text("line 2: ")
    expect(alert).to_contain_text("Did you mean 'notebook'?")
    expect(alert).to_contain_text("line 3: A step cannot be named")
    expect(alert).to_contain_text("nothing was run")
    expect(view.get_by_role("button", name="Run", exact=True)).to_be_disabled()
    lab.screenshot(PICTURES / "pipeline-faults-dark.png")
    lab.set_theme(is_dark=False)
    lab.screenshot(PICTURES / "pipeline-faults-light.png")

    lab.press("Edit file", within=view)
    editor = lab.page.locator(".jp-FileEditor .cm-content")
    editor.click()
    lab.page.keyboard.press("Control+a")
    lab.page.keyboard.insert_text("steps:\n  train: {notebook: train.ipynb}\n")
    lab.page.keyboard.press("Control+s")
    lab.page.get_by_role("tab", name="night.pipeline.yaml").first.click()
    expect(alert).to_have_count(0)
    expect(view.get_by_role("status")).to_have_text("1 of 1 to run")
    assert lab.page.evaluate("window.hacked") is None
    assert lab.unforeseen("400 (Bad Request)") == []


def test_a_notebook_is_run_as_a_tracked_step_with_a_form(lab):
    root = lab.root
    cells = ["print('C is', C, 'and kind', kind)", WAIT, "print('the end')"]
    write_notebook(root / "train.ipynb", cells, parameters=TRAIN)
    lab.open("train.ipynb")
    item = lab.page.get_by_role("menuitem", name="Run as tracked step…")
    listed = lab.page.locator(".jp-DirListing-item", has_text="train.ipynb")
    listed.click(button="right")
    expect(item).to_be_visible()
    lab.page.keyboard.press("Escape")
    expect(item).to_have_count(0)
    lab.page.locator(".jp-NotebookPanel .jp-Cell").nth(1).click(button="right")
    item.click()
    form = lab.dialog
    C = form.get_by_role("textbox", name="C float")
    expect(C).to_be_focused()
    expect(C).to_have_value("1.0")
    expect(form).to_contain_text("inverse of the penalty")
    C.fill("a lot")
    form.get_by_role("combobox").select_option("l1")
    form.get_by_role("checkbox").focus()
    lab.page.keyboard.press("Space")
    expect(form.get_by_role("checkbox")).to_be_checked()
    lab.press("Run", within=form)
    expect(form.get_by_role("alert")).to_have_text(
        "Parameter 'C' is 'a lot' (str), not float."
    )
    expect(C).to_have_attribute("aria-invalid", "true")
    lab.screenshot(PICTURES / "step-form-light.png")
    lab.set_theme(is_dark=True)
    lab.screenshot(PICTURES / "step-form-dark.png")

    C.fill("0.5")
    lab.page.keyboard.press("Enter")
    expect(form).to_contain_text("cell 4 of 5", timeout=WORK_S * 1000)
    lab.screenshot(PICTURES / "step-running-dark.png")
    lab.press("Open executed notebook", within=form)
    copy = lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    expect(copy.get_by_text("[*]:").or_(copy.get_by_text("[2]:")).first).to_be_visible()
    (root / "go").touch()
    expect(copy.get_by_text("the end", exact=True)).to_be_visible(timeout=WORK_S * 1000)
    expect(copy.get_by_text("C is 0.5 and kind l1")).to_be_visible()
    lab.screenshot(PICTURES / "step-executed-dark.png")
    run = list_runs(connect(load_settings(root)), limit=1).items[0]
    assert (run.status, run.params["C"], run.params["is_fast"]) == (
        "FINISHED", "0.5", "True",
    )  # fmt: skip
    assert lab.unforeseen("400 (Bad Request)") == []
