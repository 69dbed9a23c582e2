"""The sidebar when something is missing, hostile, or not asked for."""

import nbformat
import pytest
from playwright.sync_api import expect

from nbmlops.config import load_settings
from nbmlops.entities import Order
from nbmlops.store import connect
from nbmlops.store.runs import runs
from tests.ui.conftest import PICTURES

pytestmark = pytest.mark.ui

WITHOUT_EXTENSION = ("--ServerApp.jpserver_extensions={'nbmlops': False}",)
HOSTILE = "<img src=x onerror='window.hacked=1'>"


@pytest.mark.parametrize("server", [WITHOUT_EXTENSION], indirect=True)
def test_a_missing_server_extension_is_named_with_what_to_install(lab):
    lab.open("notebooks/quickstart.ipynb", is_dark=True)
    alert = lab.open_sidebar().get_by_role("alert")
    expect(alert).to_contain_text("lacks the nbmlops server extension")
    expect(alert).to_contain_text("pip install nbmlops")
    lab.screenshot(PICTURES / "missing-dark.png")
    lab.press("Register and deploy")
    expect(lab.dialog.get_by_role("alert")).to_contain_text("pip install nbmlops")


def test_opening_a_notebook_asks_nothing_of_nbmlops(lab):
    asked = []
    lab.page.on("request", lambda request: asked.append(request.url))
    lab.open("notebooks/quickstart.ipynb")
    assert [url for url in asked if "nbmlops/api" in url] == []
    lab.open_sidebar()
    expect(lab.page.get_by_text("Nothing is deployed.")).to_be_visible()
    assert any("nbmlops/api/project" in url for url in asked)
    assert not (lab.root / ".nbmlops" / "mlflow.db").exists()


def test_a_notebook_without_a_tracked_model_is_reported_how_to_get_one(lab):
    nbformat.write(
        nbformat.v4.new_notebook(
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
            cells=[nbformat.v4.new_code_cell("1 + 1")],
        ),
        lab.root / "plain.ipynb",
    )
    lab.open("plain.ipynb")
    lab.press("Register and deploy")
    expect(lab.dialog).to_contain_text("No run of plain.ipynb has a model yet.")
    expect(lab.dialog).to_contain_text("%%track")
    lab.page.keyboard.press("Escape")
    expect(lab.dialog).to_have_count(0)
    assert lab.complaints == []


def test_a_hostile_name_is_shown_as_the_text_it_is(lab):
    client = connect(load_settings(lab.root)).client
    client.create_registered_model(HOSTILE, description=HOSTILE)
    lab.open("notebooks/quickstart.ipynb")
    lab.open_sidebar()
    expect(lab.page.get_by_text(HOSTILE)).to_be_visible()
    assert lab.page.evaluate("window.hacked") is None


def test_a_model_registered_elsewhere_appears_by_itself(lab):
    lab.open("notebooks/quickstart.ipynb")
    lab.open_sidebar()
    expect(lab.page.get_by_text("No registered models yet.")).to_be_visible()
    store = connect(load_settings(lab.root))
    store.client.create_registered_model("from-elsewhere")
    expect(lab.model("from-elsewhere")).to_be_visible()

    for cells in ((), (3, 7)):
        tags = Order(cells=cells).tags()
        run_id = runs.create_run(store, name="it", experiment="main", tags=tags)
        store.client.create_model_version("from-elsewhere", "here", run_id)
    lab.model("from-elsewhere").click()
    newest, oldest = (lab.versions("from-elsewhere").nth(n) for n in (0, 1))
    badge = newest.get_by_title("a run from the top would treat [3], [7] differently")
    expect(badge).to_be_visible()
    expect(badge).to_contain_text("out of order")
    expect(oldest).to_contain_text("Version 1")
    expect(oldest.get_by_text("out of order")).to_have_count(0)
    lab.screenshot(PICTURES / "out-of-order-light.png")
    lab.set_theme(is_dark=True)
    lab.screenshot(PICTURES / "out-of-order-dark.png")
