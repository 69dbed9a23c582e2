"""A comparison of runs, as JupyterLab shows it."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from nbmlops.config import load_settings
from nbmlops.store import connect
from nbmlops.tracking.run.start import open_run
from tests.ui.conftest import PICTURES

pytestmark = pytest.mark.ui

HOSTILE = "<img src=x onerror='window.hacked=1'>"
# The least contrast of a text with what is behind it, all see-through layers counted.
CONTRAST = """output => {
  const parse = text => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const light = rgb => rgb
    .map(v => v / 255)
    .map(v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = node => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      layers.push(parse(getComputedStyle(at).backgroundColor));
    }
    return layers.reverse().reduce(
      (below, { rgb, a }) => rgb.map((v, n) => v * a + below[n] * (1 - a)),
      [255, 255, 255]
    );
  };
  const texts = document.createTreeWalker(output, NodeFilter.SHOW_TEXT);
  let least = 21;
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (texts.currentNode.textContent.trim() && node.checkVisibility()) {
      const pair = [parse(getComputedStyle(node).color).rgb, behind(node)].map(light);
      const [low, high] = pair.sort((x, y) => x - y);
      least = Math.min(least, (high + 0.05) / (low + 0.05));
    }
  }
  return least;
}"""


def _run(store, *, rate, code):
    params = {"rate": rate, "note": f"{HOSTILE}{rate}", "seed": 0}
    run = open_run(store, name="boosted", params=params)
    for step in range(30):
        run.log(step=step, loss=1 / (1 + rate * step))
    cells = [new_code_cell("import sklearn"), new_code_cell(code)]
    notebook = nbformat.writes(new_notebook(cells=cells))
    run.log_bytes(notebook.encode(), "nbmlops/replay.ipynb")
    run.close()
    return run.run_id


def test_a_comparison_can_be_read_in_light_and_dark(lab, monkeypatch):
    monkeypatch.chdir(lab.root)
    store = connect(load_settings(lab.root))
    ids = [
        _run(store, rate=rate, code=f"fit(\n    rate={rate},\n)  # {HOSTILE}")
        for rate in (0.1, 0.5)
    ]
    cell = new_code_cell(f"%load_ext nbmlops\n%compare {ids[0]} {ids[1][:8]}")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = new_notebook(cells=[cell], metadata=kernel)
    nbformat.write(notebook, lab.root / "compare.ipynb")
    lab.open("compare.ipynb")
    lab.run_all()
    output = lab.page.locator(".jp-OutputArea-output").last
    expect(output).to_contain_text("differs: 1 metric, 2 params, 1 code cell")
    expect(
        output.get_by_role("img", name="loss of A, B, steps 0 to 29")
    ).to_be_visible()
    expect(output.get_by_text("+     rate=0.5,")).to_be_visible()
    expect(output.get_by_text("seed=0")).to_be_hidden()
    output.get_by_text("1 param equal").click()
    expect(output.get_by_text("seed=0")).to_be_visible()
    for is_dark in (False, True):
        lab.set_theme(is_dark=is_dark)
        lab.screenshot(PICTURES / f"compare-{'dark' if is_dark else 'light'}.png")
        assert output.evaluate(CONTRAST) >= 4.5
    assert output.locator("script, img:not([src^='data:image/svg'])").count() == 0
    assert lab.page.evaluate("window.hacked") is None
    assert lab.complaints == []
