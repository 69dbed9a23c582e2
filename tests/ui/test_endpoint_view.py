"""An endpoint in the main area: its numbers, a canary, and the way back."""

import re

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect
from sklearn.linear_model import LogisticRegression

import nbmlops as nm
from nbmlops.config import load_settings
from nbmlops.store import connect
from nbmlops.store.models.models import log_model
from nbmlops.store.runs.queries import get_run
from nbmlops.store.runs.runs import create_run, end_run
from tests.ui.conftest import PICTURES

pytestmark = pytest.mark.ui
N_REQUESTS = 40


@pytest.fixture
def endpoint(server):
    """Return an endpoint of the first of two versions, which disagree."""
    store = connect(load_settings(server.root))
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {"income": rng.normal(size=80), "n_loans": rng.integers(0, 5, 80)}
    )
    for sign in (1, -1):
        run_id = create_run(store, name="fit", experiment="main")
        labels = np.where(sign * frame.income > 0, "good", "bad")
        log_model(store, run_id, LogisticRegression().fit(frame, labels), frame)
        end_run(store, run_id, "FINISHED")
        nm.register("credit", run=get_run(store, run_id), store=store)
    return nm.deploy("credit/1", store=store), frame


def test_a_canary_is_begun_watched_promoted_and_rolled_back(lab, endpoint):
    handle, frame = endpoint
    lab.open("notebooks/quickstart.ipynb")
    lab.open_sidebar()
    lab.press("Open endpoint credit")
    view = lab.page.get_by_role("region", name="Endpoint credit")
    rows = view.get_by_role("table").locator("tbody tr")
    status = view.locator(".nbmlops-Endpoint-message")
    expect(view.get_by_role("heading", name="credit", exact=True)).to_be_visible()
    expect(view.get_by_text("Ready", exact=True)).to_be_visible()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("champion")
    assert handle.token not in lab.page.content()

    view.get_by_label("income").fill("9")
    lab.press("Predict", within=view)
    expect(view.locator("output").last).to_have_text("good")
    view.get_by_label("income").fill("much")
    lab.press("Predict", within=view)
    expect(view.get_by_role("alert")).to_contain_text("income")

    view.get_by_role("slider", name="Share of the requests").focus()
    for _ in range(40):
        lab.page.keyboard.press("ArrowRight")
    view.get_by_label("From this many requests").fill("500")
    lab.press("Start canary", within=view)
    expect(status).to_have_text("Version 2 answers 50% of the requests.")
    expect(rows).to_have_count(2)
    for n in range(N_REQUESTS):
        handle.predict(frame.iloc[n : n + 1])
    counted = re.compile(r"[1-9]\d*( refused)?$")
    for n in range(2):
        expect(rows.nth(n).locator("td").last).to_have_text(counted)
        expect(rows.nth(n).locator("polyline").first).to_be_attached()
    shown = sum(each.n_requests for each in handle.metrics().versions)
    assert shown == N_REQUESTS + 2  # with those of the form
    for _ in range(2):  # so that the curves have a shape
        handle.predict(frame)
        lab.page.wait_for_timeout(1500)
    lab.screenshot(PICTURES / "endpoint-light.png")
    lab.set_theme(is_dark=True)
    lab.screenshot(PICTURES / "endpoint-dark.png")

    lab.press("Promote version 2", within=view)
    expect(status).to_have_text("Version 2 answers all requests now.")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("2 champion")
    assert handle.status().version == 2
    view.get_by_label("income").fill("9")
    lab.press("Predict", within=view)
    expect(view.locator("output").last).to_have_text("bad")

    lab.press("Roll back to version 1", within=view)
    expect(status).to_have_text("Rolled back to version 1.")
    expect(rows).to_contain_text("1 champion")
    expect(view.get_by_text("bad")).to_have_count(0)
    assert handle.status().version == 1
    lab.screenshot(PICTURES / "endpoint-rolled-back-dark.png")

    view.get_by_text("Log", exact=True).click()
    expect(view.get_by_label("Last lines of the log")).to_be_visible()
    lab.page.reload()  # the tab comes back, and goes on
    expect(view.get_by_text("Ready", exact=True)).to_be_visible()
    expect(rows).to_contain_text("1 champion")
    lab.page.set_viewport_size({"width": 800, "height": 700})
    lab.screenshot(PICTURES / "endpoint-narrow-dark.png")

    lab.press("Stop endpoint…", within=view)
    lab.press("Stop", within=lab.dialog)
    expect(status).to_have_text("Endpoint credit was stopped.")
    expect(lab.endpoints).to_have_count(0)
    assert lab.unforeseen("400 (Bad Request)") == []
