"""A run in JupyterLab: live, stopped, and reopened without a kernel."""

import json
import re

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from nbmlops.config import load_settings
from nbmlops.store import connect
from nbmlops.store.runs.queries import list_runs
from tests.ui.conftest import PICTURES

pytestmark = [pytest.mark.ui, pytest.mark.kernel]

_WORK = """%%track boosting -p rate depth -t team=risk --no-autolog
import math, time
from tqdm import tqdm
rate, depth = 0.1, 6
n_rounds = 400
for round in tqdm(range(n_rounds), desc='round', file=open('bar.txt', 'w')):
    loss = math.exp(-round / 60) + 0.05 * math.sin(round / 5) + 0.2
    %track log loss=loss accuracy=1-loss/2 --step round
    time.sleep(0.05)
"""


def _notebook(lab, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    spec = {"name": "python3", "display_name": "Python 3"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": spec}, cells=cells)
    nbformat.write(notebook, lab.root / "work.ipynb")
    lab.open("work.ipynb")
    lab.page.locator(".jp-NotebookPanel .jp-Cell").first.click()
    lab.page.keyboard.press("Escape")


def _runs(lab):
    return list_runs(connect(load_settings(lab.root))).items


def test_a_run_is_seen_live_and_stopped_and_the_kernel_goes_on(lab):
    _notebook(lab, "%load_ext nbmlops", _WORK, "print('the kernel is', 'alive')")
    for _ in range(2):
        lab.page.keyboard.press("Shift+Enter")
    outputs = lab.page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea-output")
    panel = outputs.nth(1)
    expect(panel).to_contain_text("RUNNING")
    expect(panel).to_contain_text(re.compile(r"round \d+ of 400, about \d+ s left"))
    expect(
        panel.get_by_role("img", name=re.compile("^loss: 1.2 at step 0"))
    ).to_be_visible()
    first = panel.inner_text()
    expect(panel).not_to_have_text(first)
    lab.screenshot(PICTURES / "live-light.png")
    lab.set_theme(is_dark=True)
    lab.screenshot(PICTURES / "live-dark.png")

    stop = lab.page.get_by_role("button", name="Stop", exact=True)
    stop.focus()
    lab.page.keyboard.press("Enter")
    expect(panel).to_contain_text("KILLED")
    expect(panel).to_contain_text("stopped by the user")
    expect(stop).to_have_count(0)
    expect(lab.errors.first).to_contain_text("KeyboardInterrupt")
    lab.screenshot(PICTURES / "stopped-dark.png")
    lab.set_theme(is_dark=False)
    lab.screenshot(PICTURES / "stopped-light.png")
    (run,) = _runs(lab)
    assert run.status == "KILLED"
    assert run.tags["nbmlops.ended_because"] == "stopped by the user"

    lab.page.locator(".jp-CodeCell").nth(2).click()
    lab.page.keyboard.press("Shift+Enter")
    expect(lab.page.get_by_text("the kernel is alive")).to_be_visible()
    assert lab.complaints == []


def test_the_saved_notebook_shows_the_run_without_kernel_script_or_trust(lab):
    _notebook(lab, "%load_ext nbmlops", _WORK.replace("400", "40"))
    for _ in range(2):
        lab.page.keyboard.press("Shift+Enter")
    panel = (
        lab.page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea-output").nth(1)
    )
    expect(panel).to_contain_text("FINISHED")
    lab.screenshot(PICTURES / "finished-light.png")
    lab.page.keyboard.press("Control+s")
    saved = lab.root / "work.ipynb"
    expect(lab.page.locator(".jp-NotebookPanel .jp-Cell").first).to_be_visible()
    lab.page.wait_for_function(
        "() => !window.jupyterapp.shell.currentWidget.context.model.dirty"
    )
    notebook = nbformat.read(saved, as_version=4)
    outputs = notebook.cells[1].outputs
    assert len(json.dumps(outputs)) < 50_000
    assert "RUNNING" not in nbformat.writes(notebook)
    assert "commandlinker" not in nbformat.writes(notebook)
    html, _ = HTMLExporter().from_notebook_node(notebook)
    assert "FINISHED" in html
    page = lab.page.context.new_page()
    page.set_content(html)
    _expect_run(page.locator("body"))
    page.screenshot(path=PICTURES / "exported.png")
    page.close()

    # A copy that nobody has run here is not trusted, and this one has no kernel.
    notebook.metadata["kernelspec"] = {"name": "gone", "display_name": "Gone"}
    notebook.metadata["language_info"] = {"name": "gone"}
    nbformat.write(notebook, lab.root / "copy.ipynb")
    lab.page.goto(f"{lab._url}lab/tree/copy.ipynb?reset&token={lab._token}")
    expect(lab.page.get_by_text("No Kernel").first).to_be_visible()
    _expect_run(lab.page.locator(".jp-NotebookPanel"))
    lab.screenshot(PICTURES / "reopened.png")


def _expect_run(place):
    expect(place.get_by_text("FINISHED", exact=True)).to_be_visible()
    expect(place.get_by_text("accuracy", exact=True)).to_be_visible()
    curve = place.get_by_role("img", name=re.compile("^loss: 1.2 at step 0"))
    expect(curve).to_be_visible()
    assert curve.evaluate("image => image.complete && image.naturalWidth") == 140
