"""A model version in the main area: where it comes from, how good it is."""

import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

import nbmlops as nm
from tests.ui.conftest import PICTURES

pytestmark = pytest.mark.ui


CELLS = [
    "%load_ext nbmlops",
    """import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import nbmlops as nm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

rng = np.random.default_rng(7)
income, n_loans = rng.normal(40, 9, 200).round(1), rng.integers(0, 5, 200)
frame = pd.DataFrame({"income": income, "n_loans": n_loans})
good = (income + rng.normal(size=200) * 8 - 3 * n_loans) > 34""",
    """with nm.track("wide") as run:
    run.log_dataset(frame, name="loans")
    model = LogisticRegression(C=1.0).fit(frame, good)
    scores = model.predict_proba(frame)[:, 1]
    for step in range(30):
        run.log(step=step, loss=float(np.exp(-step / 8) + rng.normal() / 40))
    run.log(roc_auc=roc_auc_score(good, scores), log_loss=log_loss(good, scores))
    figure, axes = plt.subplots(figsize=(4, 3))
    axes.hist([scores[good], scores[~good]])
    for kind in ("png", "svg"):
        figure.savefig(f"scores.{kind}", transparent=True)
        run.log_artifact(f"scores.{kind}", "figures")
    plt.close(figure)
    run.log_model(model, frame)""",
]


@pytest.fixture
def notebook(server):
    """Write a notebook that trains a model, and return its path."""
    document = new_notebook(cells=[new_code_cell(source) for source in CELLS])
    document.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(document, server.root / "notebooks" / "train.ipynb")
    return "notebooks/train.ipynb"


SCRIPT = """
import pandas as pd
from sklearn.linear_model import LogisticRegression
import nbmlops as nm

X = pd.DataFrame({"income": [20.0, 40.0, 60.0], "n_loans": [4, 2, 0]})
with nm.track("baseline") as run:
    run.log(roc_auc=0.61, log_loss=0.69, loss=0.5)
    run.log_model(LogisticRegression().fit(X, [False, False, True]), X)
nm.register("credit", run=run.run_id, alias="champion")
"""


@pytest.fixture
def champion(server, monkeypatch):
    """Deploy a worse model, which a script has made."""
    (server.root / "baseline.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "baseline.py"], cwd=server.root, check=True)
    monkeypatch.chdir(server.root)
    return nm.deploy("credit@champion")


def test_a_version_opens_is_followed_and_comes_back(lab, champion, notebook):
    lab.open(notebook)
    lab.run_all()
    assert not lab.errors.count(), lab.errors.first.inner_text()
    nm.register("credit", run="latest")
    lab.open_sidebar()
    lab.model("credit").click()
    lab.press("Open credit version 2")
    view = lab.page.get_by_role("region", name="credit version 2", exact=True)
    heading = view.get_by_role("heading", name="credit version 2")
    expect(heading).to_be_visible()
    expect(view.get_by_text("No endpoint serves it.")).to_be_visible()
    metrics = view.get_by_role("region", name="Metrics").get_by_role("row")
    expect(metrics.filter(has_text="roc_auc")).to_contain_text("better")
    curve = view.get_by_role("img", name="loss:")
    expect(curve.locator("polyline")).to_be_attached()
    signature = view.get_by_role("region", name="Signature").get_by_role("row")
    expect(signature.filter(has_text="n_loans")).to_contain_text("0 to 4")
    files = view.get_by_role("region", name="Files")
    expect(files.get_by_role("rowheader", name="MLmodel")).to_be_attached()
    lab.screenshot(PICTURES / "version-light.png")
    for kind in ("png", "svg"):
        image = view.locator(f"img[alt$='.{kind}']")
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 100, kind
    lab.screenshot(PICTURES / "version-figures-light.png")

    lab.press("Diff with the champion's notebook", within=view)
    differs = view.get_by_role("region", name="What differs from")
    expect(differs).to_contain_text("model = LogisticRegression(C=1.0)")
    lab.set_theme(is_dark=True)
    heading.scroll_into_view_if_needed()
    lab.screenshot(PICTURES / "version-dark.png")

    lab.page.reload()  # the tab comes back
    expect(heading).to_be_visible()
    lineage = view.get_by_role("region", name="Lineage")
    expect(lineage.get_by_role("button", name="Notebook train.ipynb")).to_be_visible()
    lineage.get_by_role("button", name="Run wide").click()
    kept = lab.page.get_by_role("tab", name="credit version 2.ipynb")
    expect(kept).to_be_visible()
    shown = lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    expect(shown).to_contain_text("LogisticRegression(C=1.0)")
    lab.page.get_by_role("tab", name="credit v2").click()

    lab.page.evaluate(
        "window.jupyterapp.commands.execute('nbmlops:open-version',"
        " { model: 'credit', version: 1 })"
    )
    first = lab.page.get_by_role("region", name="credit version 1", exact=True)
    expect(first.get_by_text("champion, 100% of the requests")).to_be_visible()
    nm.promote("credit", 1, to="reviewed")
    expect(first.get_by_text("reviewed", exact=True).first).to_be_visible()
    lab.page.set_viewport_size({"width": 800, "height": 700})
    lab.screenshot(PICTURES / "version-narrow-dark.png")
    lineage = first.get_by_role("region", name="Lineage")
    lineage.get_by_role("button", name="Endpoint credit champion").click()
    endpoint = lab.page.get_by_role("region", name="Endpoint credit")
    expect(endpoint.get_by_role("heading", name="credit", exact=True)).to_be_visible()
    assert lab.complaints == []
