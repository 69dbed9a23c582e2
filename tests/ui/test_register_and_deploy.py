"""The main job by mouse and keyboard, as a newcomer does it."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import PICTURES

pytestmark = pytest.mark.ui

CLASS = re.compile("^(good|bad)$")


def test_the_quickstart_goes_from_its_cells_to_a_prediction(lab):
    lab.open("notebooks/quickstart.ipynb")
    lab.run_all()
    expect(lab.errors).to_have_count(0)

    lab.open_sidebar()
    expect(lab.page.get_by_text("No registered models yet.")).to_be_visible()
    expect(lab.page.get_by_text("Nothing is deployed.")).to_be_visible()

    lab.press("Register and deploy")
    run = lab.dialog.get_by_label("Run", exact=True)
    expect(run.locator("option").first).to_contain_text("best")
    is_new = lab.dialog.get_by_text("No version has the alias champion yet.")
    expect(is_new).to_be_visible()
    expect(lab.dialog.get_by_label("Registered model")).to_have_value("quickstart")
    expect(lab.dialog.get_by_label("Alias")).to_have_value("champion")
    lab.screenshot(PICTURES / "form-light.png")
    lab.page.keyboard.type("credit")
    lab.page.keyboard.press("Enter")

    predict = lab.wait_until_deployed()
    expect(lab.dialog.get_by_text("/endpoints/credit")).to_be_visible()
    expect(predict).to_be_focused()
    row = json.loads(lab.dialog.get_by_label("Row to predict").input_value())
    assert "Income" in row["dataframe_split"]["columns"]
    lab.page.keyboard.press("Enter")
    expect(lab.dialog.locator("output")).to_have_text(CLASS)
    lab.screenshot(PICTURES / "deployed-light.png")
    lab.page.keyboard.press("Escape")
    expect(lab.dialog).to_have_count(0)

    expect(lab.endpoints).to_have_count(1)
    expect(lab.endpoints).to_contain_text("credit version 1")
    expect(lab.endpoints).to_contain_text("Ready")
    lab.model("credit").focus()
    lab.page.keyboard.press("Enter")
    expect(lab.versions("credit")).to_have_count(1)
    expect(lab.versions("credit")).to_contain_text("champion")
    expect(lab.versions("credit")).to_contain_text("roc_auc")
    expect(lab.versions("credit")).to_contain_text("notebooks/quickstart.ipynb")
    lab.screenshot(PICTURES / "sidebar-light.png")
    lab.set_theme(is_dark=True)
    lab.screenshot(PICTURES / "sidebar-dark.png")

    lab.press("Predict with endpoint credit")
    lab.press("Predict", within=lab.dialog)
    expect(lab.dialog.locator("output")).to_have_text(CLASS)
    lab.screenshot(PICTURES / "predict-dark.png")
    lab.page.keyboard.press("Escape")

    lab.press("Register and deploy")
    expect(lab.dialog.get_by_text("It replaces version 1 as champion.")).to_be_visible()
    other = run.locator("option").nth(1).get_attribute("value")
    run.select_option(other)
    expect(lab.dialog.get_by_role("row", name="roc_auc")).to_contain_text("worse")
    lab.screenshot(PICTURES / "choose-dark.png")
    lab.set_theme(is_dark=False)
    lab.dialog.get_by_label("As a canary of credit first").check()
    lab.screenshot(PICTURES / "choose-light.png")
    lab.press("Register as canary", within=lab.dialog)
    expect(
        lab.dialog.get_by_text("version 2 answers 10% of the requests")
    ).to_be_visible()
    lab.page.keyboard.press("Escape")
    expect(lab.endpoints).to_contain_text("credit version 1")

    lab.press("Stop endpoint credit")
    lab.press("Stop", within=lab.dialog)
    expect(lab.endpoints).to_have_count(0)
    expect(lab.page.get_by_text("Nothing is deployed.")).to_be_visible()
    assert lab.complaints == []
