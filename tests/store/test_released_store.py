"""A store that version 0.1.0 wrote is read whole.

It holds a cell, a `nm.track` with a registered model, a step, a sweep, a pipeline and
a replay, at the schema of the MLflow that is pinned.
"""

import tarfile
from pathlib import Path

import pandas as pd
import pytest

import nbmlops as nm
from nbmlops.lifecycle.replay.spec import read_replay_spec
from nbmlops.store import connect
from nbmlops.store.models.files import load_model
from nbmlops.store.models.models import download_model
from nbmlops.store.registry.registered_models import list_models
from nbmlops.store.registry.versions import get_version
from nbmlops.store.runs.api_reader import ApiReader
from nbmlops.store.runs.fields import RunQuery
from nbmlops.store.runs.queries import experiment_ids, list_children, list_runs

_PACKED = Path(__file__).parent / "stores" / "0.1.0.tar.xz"
_X = pd.DataFrame({"a": [0.0, 3.0], "b": [1.0, 0.0]})


@pytest.fixture
def store(project):
    with tarfile.open(_PACKED) as packed:
        packed.extractall(project, filter="data")
    (project / ".nbmlops").rmdir()
    (project / "0.1.0").rename(project / ".nbmlops")
    return connect()


def by_name(store, **query):
    return {run.name: run for run in list_runs(store, limit=100, **query)}


def test_runs_of_all_kinds_are_listed(store):
    found = by_name(store)
    kinds = {
        (run.name, run.tags["nbmlops.kind"]) for run in list_runs(store, limit=100)
    }
    assert kinds == {
        ("baseline", "cell"),
        ("by hand", "session"),
        ("train", "step"),
        ("train", "sweep"),
        ("train[C=0.1]", "step"),
        ("train[C=1.0]", "step"),
        ("fit", "session"),
        ("churn", "pipeline"),
        ("prepare", "step"),
        ("replay of baseline", "replay"),
    }
    assert found["by hand"].metrics == {"auc": 0.9, "loss": 0.25}
    assert found["by hand"].tags["team"] == "risk"
    assert {run.name for run in list_children(store, found["churn"].run_id)} == {
        "prepare",
        "train",
    }
    rows = nm.runs("churn", by="auc").page
    assert rows.items[0].name == "by hand"


def test_the_api_gives_the_same_runs(store):
    query = RunQuery(experiment_ids=tuple(experiment_ids(store, "churn")))
    page = ApiReader(store, query).page(100, None)
    assert page.items == list_runs(store, experiment="churn", limit=100).items


def test_runs_are_compared(store):
    found = nm.compare("best:auc:max", by_name(store)["baseline"], experiment="churn")
    names = {metric.name for metric in found.comparison.metrics}
    assert {"auc", "loss"} <= names
    assert found.comparison.datasets or found.comparison.equal_datasets
    assert found.comparison.code[0].n_equal == 1


def test_what_a_replay_needs_is_read(store):
    spec = read_replay_spec(store, by_name(store)["baseline"])
    assert any("LogisticRegression(C=0.5)" in source for source in spec.code)
    assert any(pin.startswith("scikit-learn==") for pin in spec.pins)


def test_models_are_listed_loaded_and_registered(store, tmp_path):
    (model,) = list_models(store)
    assert (model.name, model.aliases) == ("churn", {"champion": 1})
    version = get_version(store, "churn", 1)
    assert [column.name for column in version.signature.inputs] == ["a", "b"]
    assert version.metrics["auc"] == 0.9
    download_model(store, version, tmp_path / "model")
    assert load_model(tmp_path / "model").predict(_X).tolist() == [0, 1]
    again = nm.register("churn", run=by_name(store)["baseline"].run_id)
    assert again.version == 2
