"""The table of runs in JupyterLab: sorted, filtered, compared, and opened again."""

import nbformat
import pytest
from playwright.sync_api import expect

from nbmlops.config import load_settings
from nbmlops.store import connect
from nbmlops.store.runs import runs
from tests.ui.conftest import PICTURES

pytestmark = pytest.mark.ui

HOSTILE = "<img src=x onerror='window.hacked=1'>"
# What compares two runs has tests of its own; here it says which it was given.
COMPARED = """import html, nbmlops.lifecycle as lifecycle
class Compared:
    def __init__(self, *ids): self.ids = ids
    def _repr_html_(self): return html.escape("compared " + " with ".join(self.ids))
lifecycle.compare = Compared"""


def auc_of(number):
    return 0.6 + 0.01 * (number * 7 % 25)


@pytest.fixture
def made(lab):
    """Record runs, and write a notebook that lists them; return ids by name."""
    from mlflow.entities import Metric

    store = connect(load_settings(lab.root))
    ids = {}
    for number in range(25):
        tags = {}
        if number > 22:
            attempt = str(number - 22)
            tags = {"nbmlops.attempt_of": "cell", "nbmlops.attempt": attempt}
        name = {20: HOSTILE, 23: "boosting", 24: "boosting"}.get(
            number, f"run {number}"
        )
        run_id = runs.create_run(store, name=name, experiment=lab.root.name, tags=tags)
        params = {"C": 10 ** (number % 4), "solver": "lbfgs", "note": name}
        runs.log_values(store, run_id, metrics={"auc": auc_of(number)}, params=params)
        points = [
            Metric("loss", (1 + number % 3) / (step + 1) ** 0.5, 1, step)
            for step in range(60)
        ]
        store.client.log_batch(run_id, metrics=points)
        runs.end_run(store, run_id, "FAILED" if number == 22 else "FINISHED")
        ids[name] = run_id
    sources = ["%load_ext nbmlops", COMPARED, "%runs -n 10"]
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        cells=[nbformat.v4.new_code_cell(source) for source in sources],
    )
    nbformat.write(notebook, lab.root / "runs.ipynb")
    return ids


class Table:
    """The table of runs as a user sees it."""

    def __init__(self, lab):
        self.page = lab.page
        self.grid = lab.page.locator(".nbmlops-grid")
        self.static = lab.page.locator("table.nbmlops-runs")
        self.alert = lab.page.locator(".jp-OutputArea").get_by_role("alert")

    @property
    def names(self):
        return self.grid.locator(".widget-html").nth(1).locator(".r")

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def type(self, text):
        field = self.page.get_by_placeholder("part of a name")
        field.fill(text)
        field.press("Enter")

    def tick(self, row):
        self.grid.get_by_role("checkbox").nth(row).click()


def test_the_table_is_sorted_filtered_and_two_runs_compared(lab, made):
    lab.open("runs.ipynb")
    lab.run_all()
    expect(lab.errors).to_have_count(0)
    table = Table(lab)
    expect(table.names).to_have_count(10)
    expect(table.names.first).to_have_text("boosting 2 attempts")
    expect(table.static).to_be_hidden()
    same = lab.page.get_by_text("The same in all 10: solver lbfgs.")
    expect(same.filter(visible=True)).to_have_count(1)
    lab.screenshot(PICTURES / "runs-light.png")

    best = sorted((n for n in range(25) if n != 23), key=auc_of, reverse=True)
    named = {20: HOSTILE, 24: "boosting 2 attempts"}
    table.press("auc")
    expect(table.names).to_have_text([named.get(n, f"run {n}") for n in best[:10]])
    table.press("auc ▼")
    expect(table.names).to_have_text(
        [named.get(n, f"run {n}") for n in best[::-1][:10]]
    )
    table.press("auc ▲")
    expect(table.names.first).to_have_text("boosting 2 attempts")

    lab.page.get_by_role("button", name="▸").click()
    expect(table.names.nth(1)).to_have_text("↳ boosting")
    lab.page.get_by_role("button", name="▾").click()
    expect(table.names).to_have_count(10)

    table.tick(1)
    table.tick(2)
    lab.page.get_by_title("The next page").click()
    expect(lab.page.get_by_text("runs 11 to 20")).to_be_visible()
    expect(table.names.first).to_have_text("run 13")
    lab.page.get_by_title("The page before").click()
    expect(table.names.nth(1)).to_have_text("run 22")
    table.press("Compare")
    ids = (made["run 22"], made["run 21"])
    expect(lab.page.get_by_text(f"compared {' with '.join(ids)}")).to_be_visible()
    lab.set_theme(is_dark=True)
    lab.screenshot(PICTURES / "runs-dark.png")

    table.type("BOOST")
    expect(table.names).to_have_text(["boosting 2 attempts"])
    table.type("metrics.auc > 0.8 and params.C = '10'")
    found = [n for n in range(24, -1, -1) if auc_of(n) > 0.8 and n % 4 == 1]
    expect(table.names).to_have_text([named.get(n, f"run {n}") for n in found[:10]])
    table.type("auc > high")
    expect(table.alert).to_contain_text("Invalid")
    table.type("onerror")
    expect(table.names).to_have_text([HOSTILE])
    assert lab.page.evaluate("window.hacked") is None


@pytest.mark.slow
def test_a_notebook_opened_again_without_its_kernel_still_shows_the_table(lab, made):
    lab.open("runs.ipynb")
    lab.run_all()
    table = Table(lab)
    expect(table.names).to_have_count(10)
    for command in ("docmanager:save", "notebook:shutdown-kernel"):
        lab.page.evaluate("id => window.jupyterapp.commands.execute(id)", command)
    saved = nbformat.read(lab.root / "runs.ipynb", as_version=4)
    outputs = saved.cells[2].outputs
    assert sum(len(str(output)) for output in outputs) < 50_000
    assert "widgets" not in saved.metadata
    lab.open("runs.ipynb")
    expect(table.static).to_be_visible()
    expect(table.static.locator("svg")).to_have_count(20 // 2)
    overlaps = """rows => rows.some(row => [...row.cells].some(
        cell => cell.scrollWidth > cell.clientWidth + 1))"""
    assert not table.static.locator("tr").evaluate_all(overlaps)
    expect(table.static.locator("summary")).to_have_text(["2 attempts"])
    error = lab.page.get_by_text("Error displaying widget")
    expect(error).to_have_count(1)
    expect(error).to_be_hidden()
    assert lab.page.evaluate("window.hacked") is None
    lab.screenshot(PICTURES / "runs-reopened.png")
