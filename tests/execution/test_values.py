import json

import numpy as np
import pytest

import nbmlops as nm
from nbmlops.errors import UsageError
from nbmlops.execution.values import VALUES_FILE, read_values
from nbmlops.store import artifacts
from nbmlops.store.runs import queries


@pytest.mark.kernel
def test_a_step_has_what_its_notebook_emits(store, write):
    path = write(
        "import nbmlops as nm, numpy as np",
        "nm.emit(auc=np.float64(0.5), n=np.int32(3), flag=True, name='a')",
        "with nm.track('fit') as run:\n    nm.emit(sizes=(1, 2), auc=0.75)",
    )
    step = nm.run_notebook(path, store=store)
    assert step.values == {
        "auc": 0.75,
        "n": 3,
        "flag": True,
        "name": "a",
        "sizes": [1, 2],
    }
    run = queries.get_run(store, step.run_id)
    assert run.metrics == {"auc": 0.75, "n": 3.0}
    tags = {k: v for k, v in run.tags.items() if k.startswith("nbmlops.value.")}
    assert tags == {
        "nbmlops.value.flag": "true",
        "nbmlops.value.name": "a",
        "nbmlops.value.sizes": "[1, 2]",
    }
    kept = artifacts.read_file(store, step.run_id, "nbmlops/values.json")
    assert json.loads(kept) == step.values


def test_outside_of_a_step_the_open_run_has_it(store):
    with (
        nm.track("outer", store=store) as outer,
        nm.track("inner", store=store) as inner,
    ):
        nm.emit(auc=0.5)
    assert queries.get_run(store, inner.run_id).metrics == {"auc": 0.5}
    assert queries.get_run(store, outer.run_id).metrics == {}


def test_outside_of_a_run_it_says_why_not(project):
    with pytest.raises(UsageError, match="Nothing is open") as caught:
        nm.emit(auc=0.5)
    assert "%%track" in caught.value.fix


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"x", np.zeros(2), {1: 2}, [[object()]]]
)
def test_what_cannot_be_handed_on_is_refused(tmp_path, monkeypatch, value):
    monkeypatch.setenv(VALUES_FILE, str(tmp_path / "values"))
    with pytest.raises(UsageError, match="Value 'x' is "):
        nm.emit(y=1, x=value)
    assert read_values(tmp_path / "values") == {}


def test_secrets_and_too_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(VALUES_FILE, str(tmp_path / "values"))
    monkeypatch.setenv("API_TOKEN", "hunter2hunter2")
    with pytest.raises(UsageError, match="'x' is a secret"):
        nm.emit(x={"a": [nm.secret("API_TOKEN")]})
    with pytest.raises(UsageError, match="more than 1,000,000 bytes"):
        nm.emit(x="x" * 1_000_000)


def test_a_line_that_was_cut_is_passed_over(tmp_path, monkeypatch):
    path = tmp_path / "values"
    monkeypatch.setenv(VALUES_FILE, str(path))
    nm.emit(x=1, y=float("inf"))
    with path.open("a") as file:
        file.write('{"x": 2')
    assert read_values(path) == {"x": 1, "y": float("inf")}
