"""All that is known of a model version."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import nbmlops as nm
from nbmlops.deployment import records
from nbmlops.errors import NotFoundError
from nbmlops.lifecycle.version_detail import get_version_detail
from nbmlops.store import connect
from nbmlops.store.artifacts import local_root
from nbmlops.store.database import Connection
from nbmlops.store.models.models import location_of
from nbmlops.store.runs.runs import log_values

PNG = b"\x89PNG\r\n\x1a\n"
N_QUERIES = 12
FRAME = pd.DataFrame({"Age": [20.0, 30.0, 64.0], "Income": [1.0, 2.5, 9.0]})


def train(name, X=FRAME, *, alias=None, model=None, **metrics):
    """Register the model of a run that recorded something of everything."""
    with nm.track(name, params={"C": 1.0}) as run:
        run.log_dataset(X, name="people")
        for step, loss in enumerate([3.0, float("nan"), 1.5]):
            run.log(step=step, loss=loss)
        run.log(**metrics)
        run.log_bytes(PNG, "figures/roc.png")
        run.log_bytes(b"<svg/>", "plots/lift.svg")
        run.log_bytes(b"text", "notes.txt")
        run.log_model((model or LogisticRegression()).fit(X, [0, 1, 1]), X)
    return nm.register("credit", run=run.run_id, alias=alias)


def test_a_version_is_held_against_the_champion(store):
    train("first", alias="champion", roc_auc=0.8, log_loss=0.4, n_rows=3)
    train("second", roc_auc=0.75, log_loss=0.3, n_rows=5, extra=float("inf"))
    found = get_version_detail(store, "credit", 2)
    assert (found.version.version, found.champion.version) == (2, 1)
    metrics = {each.name: each for each in found.metrics}
    better = {name: each.is_better for name, each in metrics.items()}
    assert better == {
        "roc_auc": False,
        "log_loss": True,
        "loss": None,  # equal
        "n_rows": None,  # of no known direction
        "extra": None,  # the champion has none
    }
    assert metrics["roc_auc"].change == pytest.approx(-0.05)
    assert metrics["n_rows"].change == 2
    assert metrics["extra"].change is None
    assert metrics["loss"].steps == (0, 1, 2)
    assert metrics["loss"].values == (3.0, None, 1.5)
    assert metrics["roc_auc"].steps == ()
    champion = get_version_detail(store, "credit", 1)
    assert champion.champion is None
    assert champion.version.aliases == ("champion",)


def test_what_the_run_and_the_model_recorded_is_there(store):
    version = train("first", roc_auc=0.8)
    log_values(store, version.run_id, tags={"nbmlops.replayed": f"equal ({'a' * 32})"})
    found = get_version_detail(store, "credit", 1)
    assert found.run.run_id == version.run_id
    assert found.run.status == "FINISHED"
    assert found.version.user
    assert (found.replay.verdict, found.replay.run_id) == ("equal", "a" * 32)
    assert [each.name for each in found.version.datasets] == ["people"]
    assert found.notes == ()
    assert [each.path for each in found.figures] == [
        "figures/roc.png",
        "plots/lift.svg",
    ]
    files = {each.path: each.size_bytes for each in found.files}
    assert {"MLmodel", "input_example.json", "model.skops"} <= files.keys()
    assert all(size > 0 for size in files.values())
    limits = {each.name: (each.low, each.high) for each in found.columns}
    assert limits == {"Age": (20.0, 64.0), "Income": (1.0, 9.0)}
    assert found.example["columns"] == ["Age", "Income"]
    assert found.example["data"][0] == [20.0, 1.0]
    assert found.notes == ()


def test_categories_are_those_of_training(store):
    colours = pd.Categorical(["red", "blue", "red"])
    X = pd.DataFrame({"colour": colours})
    train("first", X, model=make_pipeline(OneHotEncoder(), LogisticRegression()))
    (column,) = get_version_detail(store, "credit", 1).columns
    assert column.categories == ("blue", "red")
    assert column.low is None


def test_the_lineage_goes_from_the_data_to_the_endpoints(store):
    version = train("first", alias="champion")
    served = records.Served.of(version, ())
    endpoint = {
        "name": "live",
        "port": 1,
        "max_request_bytes": 1,
        "serving": store.settings.serving,
        "started_at": "2026-11-20T10:00:00+00:00",
    }
    folder = records.make_root(store.settings)
    (folder / "live").mkdir()
    canary = records.Canary(served=served, share=0.25, rules={})
    records.write_record(
        folder, records.Record(champion=served, canary=canary, **endpoint)
    )
    found = get_version_detail(store, "credit", 1)
    assert [(e.name, e.role, e.share) for e in found.endpoints] == [
        ("live", "champion", 0.75),
        ("live", "canary", 0.25),
    ]
    kinds = [node.kind for node in found.nodes]
    assert kinds == ["data", "notebook", "run", "version", "endpoint", "endpoint"]
    kind_of = {node.id: node.kind for node in found.nodes}
    assert len(kind_of) == len(kinds)
    assert {(kind_of[e.first], kind_of[e.second]) for e in found.edges} == {
        ("data", "run"),
        ("notebook", "run"),
        ("run", "version"),
        ("version", "endpoint"),
    }


def test_a_version_whose_files_are_gone_says_so(store):
    version = train("first", roc_auc=0.8)
    (local_root(location_of(store, version)) / "MLmodel").unlink()
    found = get_version_detail(store, "credit", 1)
    assert "MLmodel is missing" in found.notes[0]
    assert [column.name for column in found.columns] == ["Age", "Income"]
    assert found.files == ()


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "metadata: []\nsignature: text\nsaved_input_example_info: []",
        "metadata: {nbmlops.ranges: {Age: [.inf, x]}, nbmlops.dtypes: [1]}\n"
        "signature: {inputs: '[1]'}\nsaved_input_example_info: {artifact_path: [1]}",
        "saved_input_example_info: {artifact_path: link.json, type: json_object}",
        "saved_input_example_info: {artifact_path: ../x.json, type: json_object}",
    ],
)
def test_a_damaged_description_of_a_model_hides_nothing_else(store, tmp_path, text):
    folder = local_root(location_of(store, train("first", roc_auc=0.8)))
    (folder / "MLmodel").write_text(text)
    (tmp_path / "secret.json").write_text('[{"a": 1}]')
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    found = get_version_detail(store, "credit", 1)
    assert found.example is None
    assert [(c.name, c.low) for c in found.columns] == [("Age", None), ("Income", None)]
    assert found.version.metrics["roc_auc"] == 0.8


def test_a_version_that_is_not_there_says_which_there_are(store):
    train("first")
    with pytest.raises(NotFoundError, match="No version 7"):
        get_version_detail(store, "credit", 7)
    with pytest.raises(NotFoundError, match="Did you mean 'credit'"):
        get_version_detail(store, "credti", 1)


def test_the_store_is_asked_few_times(store, monkeypatch):
    train("first", alias="champion", roc_auc=0.8)
    train("second", roc_auc=0.7)
    asked = []
    execute = Connection._execute
    monkeypatch.setattr(
        Connection,
        "_execute",
        lambda self, *given, **options: (
            asked.append(given[0]) or execute(self, *given, **options)
        ),
    )
    get_version_detail(store, "credit", 2)
    assert len(asked) <= N_QUERIES, asked


READ = """
import json, sys
from nbmlops.entities import to_json
from nbmlops.lifecycle.version_detail import get_version_detail
from nbmlops.store import connect

found = json.dumps(to_json(get_version_detail(connect(), "credit", 1)), allow_nan=False)
heavy = [name for name in ("mlflow", "pandas", "sklearn") if name in sys.modules]
print(json.dumps([heavy, json.loads(found)]))
"""


def read_apart():
    """Read the version in a process of its own; return it and what that imported."""
    done = subprocess.run(
        [sys.executable, "-c", READ], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    heavy, found = json.loads(done.stdout.splitlines()[-1])
    return found, heavy


def test_reading_it_imports_no_mlflow(store):
    train("first", roc_auc=np.nan)
    found, heavy = read_apart()
    assert heavy == []
    assert found["version"]["metrics"]["roc_auc"] == "NaN"


@pytest.mark.server
def test_the_same_is_read_from_postgres(project, monkeypatch, postgres_uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres_uri)
    train("first", alias="champion", roc_auc=0.8)
    found, heavy = read_apart()
    assert heavy == []
    assert found["figures"][0]["path"] == "figures/roc.png"
    assert found["columns"][0]["high"] == 64.0
    assert found["notes"] == []


@pytest.mark.server
def test_the_same_is_read_from_a_server(project, mlflow_server):
    train("first", alias="champion", roc_auc=0.8)
    found = get_version_detail(connect(), "credit", 1)
    assert found.notes == ()
    assert [each.path for each in found.figures] == [
        "figures/roc.png",
        "plots/lift.svg",
    ]
    assert found.columns[0].high == 64.0
    assert {each.name: len(each.steps) for each in found.metrics}["loss"] == 3
    assert found.example["columns"] == ["Age", "Income"]
    assert found.version.user
    assert found.notes == ()
