"""A change planted in one factor is found in that factor."""

import os

import pytest

from nbmlops.errors import UsageError
from nbmlops.execution.run import run_notebook
from nbmlops.lifecycle.explain import explain
from nbmlops.lifecycle.replay.replay import replay
from nbmlops.render.tables import explanation_table
from nbmlops.store.runs import queries
from tests.notebooks import write_notebook
from tests.wheels import plant

pytestmark = pytest.mark.kernel

READ = "%load_ext nbmlops\nimport pandas as pd\nrows = pd.read_csv('rows.csv')"
FIT = (
    "%%track fit -p weight -m score rows=len(rows) -d rows\n"
    "weight = 2\nscore = float(rows['x'].sum() * weight)"
)


@pytest.fixture
def made(store, project):
    """Return a function that records a run of cells on data, and returns it."""

    def make(*cells, data="x\n1\n2\n", path="work.ipynb"):
        if data is not None:
            (project / "rows.csv").write_text(data, encoding="utf-8")
        step = run_notebook(write_notebook(project / path, cells), store=store)
        return queries.get_run(store, step.run_ids[-1])

    return make


def changes(why):
    return {each.factor: each.change for each in why.effects if each.differs}


def test_planted_params(store, made):
    first = made(READ, FIT)
    second = made(READ, FIT.replace("weight = 2", "weight = 5"))
    why = explain(first, second, metric="score", store=store)
    assert why.factor == "params"
    assert changes(why) == {"params": 9.0}
    assert (why.first, why.second, why.repeated, why.rest) == (6.0, 15.0, 6.0, 0.0)
    assert why.effects[0].detail == "weight: 2 -> 5"
    shown = repr(explanation_table(why))
    assert "params <--" in shown
    assert "change +9" in shown
    runs = queries.get_run(store, why.effects[0].run_id)
    assert runs.tags["nbmlops.kind"] == "replay"
    assert runs.tags["nbmlops.explain"] == "params"


@pytest.mark.slow
def test_planted_code_in_a_cell_and_in_a_module(store, made, project):
    helper = project / "helper.py"
    helper.write_text("def bonus():\n    return 0\n", encoding="utf-8")
    fit = FIT.replace("* weight", "* weight + helper.bonus()")
    first = made(READ, "import helper", fit)
    second = made(READ, "import helper\nrows = rows * 10", fit)
    why = explain(first, second, metric="score", store=store)
    assert (why.factor, changes(why)) == ("code", {"code": 54.0})
    helper.write_text("def bonus():\n    return 7\n", encoding="utf-8")
    third = made(READ, "import helper", fit)
    why = explain(first, third, store=store)
    assert (why.factor, changes(why)) == ("code", {"code": 7.0})
    assert why.effects[0].detail == "helper.py"


@pytest.mark.slow
def test_planted_data(store, made):
    first = made(READ, FIT)
    second = made(READ, FIT, data="x\n10\n20\n30\n")
    why = explain(first, second, metric="score", store=store)
    assert (why.factor, changes(why)) == ("data", {"data": 114.0})
    assert why.effects[0].detail == "rows.csv"
    back = explain(second, first, metric="score", store=store)
    assert changes(back) == {"data": -114.0}


@pytest.mark.slow
def test_several_factors_are_distinguished_and_the_rest_is_named(store, made):
    first = made(READ, FIT)
    second = made(READ, FIT.replace("= 2", "= 3"), data="x\n1\n9\n")
    why = explain(first, second, metric="score", store=store)
    assert changes(why) == {"data": 14.0, "params": 3.0}
    assert why.factor == "data"
    assert why.rest == 7.0  # 10 * 3 - 3 * 2, less 14, less 3


@pytest.mark.slow
def test_data_from_elsewhere_is_said_not_to_be_swapped(store, made, monkeypatch):
    cells = (
        "%load_ext nbmlops\nimport os\nimport pandas as pd",
        "rows = pd.DataFrame({'x': [float(os.environ['FROM_ELSEWHERE'])]})",
        FIT,
    )
    monkeypatch.setenv("FROM_ELSEWHERE", "1")
    first = made(*cells)
    monkeypatch.setenv("FROM_ELSEWHERE", "4")
    second = made(*cells)
    why = explain(first, second, metric="score", store=store)
    assert why.factor is None
    (data,) = [each for each in why.effects if each.differs]
    assert data.factor == "data"
    assert "cannot be swapped" in data.detail
    assert why.notes[-1].startswith("replayed as it was, 'fit' has score 8, not 2")


def test_metric_must_be_one_that_both_have(store, made):
    first = made(READ, FIT)
    second = made(READ, FIT.replace("-m score", "-m scores=score"))
    with pytest.raises(UsageError, match="Did you mean 'rows'"):
        explain(first, second, metric="rowz", store=store)
    with pytest.raises(UsageError, match="More or less than one metric"):
        explain(first, second, store=store)
    step = queries.get_run(store, first.parent_run_id)
    with pytest.raises(UsageError, match="whole notebook"):
        explain(step, step, metric="score", store=store)


@pytest.mark.slow
def test_planted_environment(store, made, tmp_path, monkeypatch):
    sites = {version: plant(tmp_path, "planted", version) for version in ("1.0", "2.0")}
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    fit = FIT.replace("* weight", "* weight * planted.factor")
    runs = []
    for site in sites.values():
        with monkeypatch.context() as patched:
            patched.setenv("PYTHONPATH", site, prepend=os.pathsep)
            runs.append(made(READ + "\nimport planted", fit))
    why = explain(*runs, metric="score", store=store)
    assert (why.factor, changes(why)) == ("environment", {"environment": 6.0})
    assert "planted==2.0" in why.effects[0].detail
    assert replay(runs[0], in_env=True, store=store).verdict == "equal"
    assert replay(runs[0], store=store).verdict == "different"
