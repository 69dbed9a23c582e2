"""Running the same again is a new attempt of the same thing."""

import pytest

import nbmlops as nm
from nbmlops.store.runs.queries import list_runs
from tests.kernels import kernel


def _attempts(store):
    return [
        (run.name, run.tags["nbmlops.attempt"], run.tags.get("nbmlops.changed"))
        for run in reversed(list_runs(store).items)
    ]


def _groups(store):
    return [run.tags["nbmlops.attempt_of"] for run in list_runs(store)]


@pytest.mark.kernel
def test_cell_run_again_is_the_next_attempt_with_what_changed(project, store):
    with kernel(project) as k:
        k.run("%load_ext nbmlops")
        k.run("import pandas as pd\nX = pd.DataFrame({'a': [1, 2]})")
        k.run("%%track fit -p C -d X\nC = 1")
        again = k.run("%%track fit -p C -d X\nC = 1")
        k.run("%%track fit -p C -d X\nC = 2")
        k.run("X = X * 2")
        k.run("%%track fit -p C -d X\nC = 2")
        k.run("%%track other\n1")
    assert _attempts(store) == [
        ("fit", "1", None),
        ("fit", "2", "nothing"),
        ("fit", "3", "code, params (C)"),
        ("fit", "4", "data"),
        ("other", "1", None),
    ]
    assert len(set(_groups(store))) == 2
    assert "attempt 2, changed: nothing" in again.text


def test_runs_that_one_execution_opens_are_no_attempts_of_each_other(store):
    for C in (1, 2):
        with nm.track("fit", params={"C": C}, store=store):
            pass
    assert [number for _, number, _ in _attempts(store)] == ["1", "1"]
    assert len(set(_groups(store))) == 2


@pytest.mark.kernel
def test_loop_run_again_is_the_next_attempt_of_each_run(project, store):
    cell = "for C in (1, 2):\n    with nm.track('fit', params={'C': C}):\n        pass"
    with kernel(project) as k:
        k.run("import nbmlops as nm")
        k.run(cell)
        k.run(cell.replace("(1, 2)", "(1, 3)"))
    assert [number for _, number, _ in _attempts(store)] == ["1", "1", "2", "2"]
    assert len(set(_groups(store))) == 2
    assert _attempts(store)[-1][2] == "code, params (C)"


def test_attempts_are_counted_in_their_experiment(store):
    for experiment in ("a", "b"):
        with nm.track("it", experiment=experiment, store=store):
            pass
    assert [number for _, number, _ in _attempts(store)] == ["1", "1"]
