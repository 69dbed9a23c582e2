"""Which run of a notebook to register, and what it would replace."""

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import nbmlops as nm
from nbmlops.lifecycle.candidates import find_candidates
from nbmlops.store.models.models import log_model
from nbmlops.store.runs.fields import KERNEL_ID, SOURCE
from nbmlops.store.runs.runs import create_run

FRAME = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0]})


@pytest.fixture
def record(store):
    """Return what records a finished run of a notebook, with a model."""
    model = LogisticRegression().fit(FRAME, [0, 0, 1, 1])

    def add(name, *, source="a.ipynb", kernel="k", has_model=True, **metrics):
        run_id = create_run(store, name=name, experiment="e")
        client = store.client
        client.set_tag(run_id, SOURCE, source)
        client.set_tag(run_id, KERNEL_ID, kernel)
        for metric, value in metrics.items():
            client.log_metric(run_id, metric, value)
        if has_model:
            log_model(store, run_id, model, FRAME)
        client.set_terminated(run_id)
        return run_id

    return add


def names(found):
    return [run.name for run in found.runs]


def test_the_best_comes_first_and_the_newest_is_named(store, record):
    record("worse", auc=0.8)
    best = record("best", auc=0.9)
    record("without a model", has_model=False, auc=0.99)
    record("elsewhere", source="b.ipynb", kernel="other", auc=0.95)
    record("not a number", auc=float("nan"))
    newest = record("newest", auc=0.85, seconds=3.0)
    found = find_candidates(store, source="a.ipynb")
    assert names(found) == ["best", "newest", "not a number", "worse"]
    assert (found.best, found.newest, found.metric) == (best, newest, "auc")
    assert found.modes["auc"] == "max"
    assert (found.replaced, found.endpoint) == (None, None)


def test_a_small_value_is_the_best_of_an_error(store, record):
    best = record("small", rmse=1.0)
    record("large", rmse=2.0)
    assert find_candidates(store, source="a.ipynb").best == best


def test_no_run_is_the_best_by_a_metric_of_unknown_direction(store, record):
    record("one", n_trees=3)
    found = find_candidates(store, source="a.ipynb")
    assert (found.best, found.metric, names(found)) == (None, None, ["one"])


def test_the_metric_is_one_of_the_version_that_is_replaced(store, record):
    first = record("champion", auc=0.8)
    nm.register("m", run=first, alias="champion", store=store)
    best = record("sharper", accuracy=0.9, auc=0.9)
    record("broader", accuracy=0.95, auc=0.85)
    found = find_candidates(store, source="a.ipynb", model="m", alias="champion")
    assert (found.metric, found.best) == ("auc", best)
    assert found.replaced.version == 1
    assert found.replaced.metrics == {"auc": 0.8}
    for model, alias in (("m", "other"), ("other", "champion"), ("m", "")):
        found = find_candidates(store, source="a.ipynb", model=model, alias=alias)
        assert found.replaced is None


def test_runs_of_the_kernel_count_by_another_name_of_the_notebook(store, record):
    record("before", source="old name.ipynb", auc=0.9)
    found = find_candidates(store, source="new name.ipynb", kernel_id="k")
    assert names(found) == ["before"]
    nothing = find_candidates(store, source="new name.ipynb")
    assert (nothing.runs, nothing.newest) == ((), None)


def test_the_endpoint_that_serves_the_model_is_named(store, record):
    nm.register("m", run=record("one", auc=0.8), store=store)
    nm.deploy("m/1", store=store)
    try:
        found = find_candidates(store, source="a.ipynb", model="m", alias="champion")
        assert found.endpoint == "m"
        assert find_candidates(store, source="a.ipynb", model="n").endpoint is None
    finally:
        nm.undeploy("m", store=store)
