"""A thousand models in the sidebar, and a thousand versions in a model's tab."""

import pytest
from playwright.sync_api import expect

from nbmlops.config import load_settings
from nbmlops.store import connect
from tests.big_registry import fill
from tests.ui.conftest import PICTURES

pytestmark = pytest.mark.ui

SIZES = {"churn": 1000} | {f"model-{n:04}": 3 for n in range(999)}
CHECKED = "() => [...document.querySelectorAll('.nbmlops-Scroll li')].length"


def test_a_thousand_models_and_versions_are_scrolled_searched_sorted_and_compared(lab):
    store = connect(load_settings(lab.root))
    fill(store, SIZES)
    store.client.set_registered_model_tag("churn", "stage", "<b>live</b>")
    lab.open("notebooks/quickstart.ipynb")
    panel = lab.open_sidebar()
    expect(lab.model("churn")).to_contain_text("champion v999")
    expect(lab.model("churn")).to_contain_text("stage: <b>live</b>")
    lab.screenshot(PICTURES / "models-light.png")

    listed = panel.get_by_role("list", name="Registered models")
    last = lab.model("model-0998")
    for _ in range(30):
        if last.count():
            break
        listed.hover()
        lab.page.mouse.wheel(0, 6000)
        lab.page.wait_for_load_state("networkidle")
    expect(last).to_be_visible()
    assert lab.page.evaluate(CHECKED) < 80

    panel.get_by_role("searchbox").fill("CHUR")
    expect(listed.get_by_role("listitem")).to_have_count(1)
    panel.get_by_role("button", name="Open model churn").click()
    tab = lab.page.get_by_role("region", name="Model churn")
    status = tab.get_by_role("status")
    expect(status).to_have_text("1000 versions · champion: version 999")
    rows = tab.get_by_role("rowheader")
    expect(rows.first).to_have_text("1000")
    expect(
        tab.get_by_text("better").or_(tab.get_by_text("worse")).first
    ).to_be_visible()
    lab.screenshot(PICTURES / "model-light.png")

    tab.get_by_role("columnheader", name="accuracy").get_by_role("button").click()
    best = max(
        (metrics["accuracy"], version)
        for version, metrics in _metrics(store, "churn").items()
    )
    expect(rows.first).to_have_text(str(best[1]))
    tab.get_by_role("columnheader", name="Version").get_by_role("button").click()
    expect(rows.first).to_have_text("1")
    tab.get_by_role("table").hover()
    lab.page.mouse.wheel(0, 100_000)
    expect(rows.last).to_have_text("1000")
    assert rows.count() < 80

    for version in (1000, 998):
        tab.get_by_role("checkbox", name=f"Compare version {version}").check()
    lab.press("Compare 998 and 1000", within=tab)
    found = tab.get_by_role("region", name="Version 998 and version 1000")
    expect(found).to_contain_text("log_loss")
    expect(found).to_contain_text("p0")
    lab.screenshot(PICTURES / "compare-versions-light.png")
    lab.set_theme(is_dark=True)
    lab.screenshot(PICTURES / "compare-versions-dark.png")
    lab.press("Close comparison", within=tab)

    store.client.set_registered_model_alias("churn", "challenger", "1000")
    expect(tab.get_by_role("row", name="1000").first).to_contain_text("challenger")
    tab.get_by_role("button", name="Set alias of churn version 998").click()
    lab.press("Set alias", within=lab.dialog)
    expect(status).to_contain_text("champion: version 998")

    tab.get_by_text("Columns").click()
    with lab.page.expect_request(
        lambda r: '"user":false' in (r.post_data or "")
    ) as saved:
        tab.get_by_role("checkbox", name="Who").uncheck()
    saved.value.response()
    who = tab.get_by_role("columnheader", name="Who")
    expect(who).to_have_count(0)
    lab.page.reload()
    expect(status).to_have_text("1000 versions · champion: version 998")
    expect(rows.first).to_have_text("1")
    expect(who).to_have_count(0)
    lab.screenshot(PICTURES / "model-dark.png")

    tab.get_by_role("button", name="Open churn version 1", exact=True).click()
    expect(lab.page.get_by_role("region", name="churn version 1")).to_be_visible()
    assert lab.complaints == []


def _metrics(store, name):
    from nbmlops.store.registry.versions import list_versions

    return {
        version.version: version.metrics
        for version in list_versions(store, name, limit=1000)
    }
