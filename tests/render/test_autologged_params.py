"""What tables show of real pipelines: what was named, and what tells them apart."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import nbmlops as nm
from nbmlops.config import load_settings
from nbmlops.entities import AUTOLOGGED, Autologged, autologged_tag, parse_columns
from nbmlops.store import connect
from nbmlops.store.artifacts import read_file
from nbmlops.store.runs import runs as store_runs
from nbmlops.store.runs.queries import get_run


def _prepared(**options):
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False, **options)
    return make_column_transformer((encoder, ["city"]), (StandardScaler(), ["age"]))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Return the store of a project in which three pipelines were fitted, twice."""
    folder = tmp_path_factory.mktemp("pipelines")
    (folder / ".nbmlops").mkdir()
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(40, 9, 60), "city": rng.choice(["A", "B"], 60)})
    y = (X.age + rng.normal(0, 9, 60) > 40).astype(int)
    ids = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        store = connect(load_settings(folder))
        for _ in range(2):
            for seed, name, drop, model in (
                (7, "logistic", "first", LogisticRegression(C=3.0)),
                (
                    7,
                    "forest",
                    None,
                    RandomForestClassifier(n_estimators=3, max_depth=4),
                ),
                (8, "boosting", None, HistGradientBoostingClassifier(max_iter=4)),
            ):
                with nm.track(
                    name, params={"seed": seed}, autolog=True, store=store
                ) as run:
                    pipeline = make_pipeline(_prepared(drop=drop), model).fit(X, y)
                    run.log(accuracy=pipeline.score(X, y))
                ids.append(run.run_id)
        yield SimpleNamespace(store=store, ids=ids)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def _widest(text):
    return max(map(len, text.splitlines()))


def test_a_table_of_pipelines_fits_a_terminal_and_begins_with_what_was_named(fitted):
    text = repr(nm.runs(all=True, store=fitted.store))
    lines = text.splitlines()
    assert _widest(text) <= 80
    assert lines[0].split()[:4] == ["run", "name", "accuracy", "seed"]
    assert "__" not in text
    reported = text[text.index("The same in all 6") :]
    assert len(reported.splitlines()) <= 5
    for word in ("Also differing: ", "--columns A,B", "are not shown", "--all-params"):
        assert word in reported
    assert "estimator" in text
    for quiet in ("feature_name_combiner", "handle_unknown", "verbose", "tol"):
        assert quiet not in re.findall(r"\w+", text)


def test_what_is_hidden_is_shown_when_asked_for(fitted):
    asked = nm.runs(all=True, columns="drop,C,max_depth", store=fitted.store)
    values = {
        run.name: [asked._text(run, column) for column in asked.columns.shown[2:]]
        for run in asked.page
    }
    assert values == {
        "logistic": ["first", "3.0", ""],
        "forest": ["None", "", "4"],
        "boosting": ["None", "", "None"],
    }
    whole = nm.runs(all=True, all_params=True, store=fitted.store)
    assert _widest(repr(whole)) <= 80
    assert "handle_unknown ignore" in " ".join(repr(whole).split())
    assert "early_stopping" in repr(whole)
    n_columns = [
        t._repr_html_().count("<th") for t in (nm.runs(store=fitted.store), whole)
    ]
    assert n_columns[0] <= 18
    assert n_columns[1] > 40


def test_a_comparison_of_pipelines_fits_a_terminal(fitted):
    view = nm.compare(*fitted.ids[:3], store=fitted.store)
    names = [item.name for item in view.comparison.params.items]
    assert names[0] == "seed"
    assert set(names[1:]) == {
        "C", "drop", "estimator", "max_depth", "max_iter", "n_estimators"
    }  # fmt: skip
    depth = view.comparison.params.items[names.index("max_depth")]
    assert depth.values == (None, "4", "None")  # what is a default is reported
    assert _widest(str(view)) <= 80
    assert "that autolog recorded not shown: see --all-params" in str(view)
    whole = nm.compare(*fitted.ids[:3], all_params=True, store=fitted.store)
    found = {item.name for item in whole.comparison.params.items}
    assert "histgradientboostingclassifier__max_bins" in found
    assert _widest(str(whole)) <= 80


def test_all_params_are_in_the_store_and_in_one_artifact(fitted):
    run = get_run(fitted.store, fitted.ids[0])
    content = read_file(fitted.store, run.run_id, "nbmlops/params.json")
    (fit,) = json.loads(content)
    assert fit["params"]["columntransformer__onehotencoder__drop"] == "first"
    assert fit["params"]["logisticregression__tol"] == "0.0001"
    assert fit["changed"] == [
        "columntransformer__onehotencoder__drop",
        "columntransformer__onehotencoder__handle_unknown",
        "columntransformer__onehotencoder__sparse_output",
        "logisticregression__C",
    ]
    assert run.params.keys() >= fit["params"].keys()
    assert len(run.tags[AUTOLOGGED]) < 1000
    shown = run.autologged.shown(run.params)
    assert next(iter(shown)) == "seed"
    assert shown["C"] == "3.0"
    assert shown["estimator"] == "LogisticRegression"
    assert len(shown) == 6


def test_a_frame_has_what_any_run_has_changed_with_the_defaults_of_the_others(fitted):
    frame = nm.runs(all=True, store=fitted.store).frame()
    assert "params.seed" in frame
    assert "params.logisticregression__tol" not in frame
    column = frame["params.columntransformer__onehotencoder__drop"]
    assert sorted(column) == ["None"] * 4 + ["first"] * 2
    whole = nm.runs(all=True, all_params=True, store=fitted.store).frame()
    assert "params.logisticregression__tol" in whole


def test_runs_of_older_versions_show_what_two_of_them_have_otherwise(store):
    for C, seed in ((1, 7), (2, 8)):
        params = {f"model__p{n}": n for n in range(40)} | {"model__C": C, "seed": seed}
        params |= {f"only{seed}__p{n}": n for n in range(40)}
        tags = {"nbmlops.cost.fit_s": "0.1"}
        run_id = store_runs.create_run(
            store, name="it", experiment="my project", tags=tags
        )
        store_runs.log_values(store, run_id, params=params)
    table = nm.runs()
    shown = [column.name for column in table.columns.shown]
    assert shown == ["run", "name", "model__C", "seed", "started"]
    assert "120 params that autolog recorded are not shown" in repr(table)


def test_what_the_user_named_is_never_taken_for_a_default():
    params = {
        "C": "1",
        "model__tol": "2",
        "model__C": "3",
        "step__a": "0",
        "later": "9",
    }
    recorded = ("model__C", "step__a", "model__verbose")
    tag = autologged_tag(
        recorded, changed=["model__C"], named=["C", "model__tol"], metrics=["score"]
    )
    reported = Autologged.of(params, {AUTOLOGGED: tag})
    assert reported.shown(params) == {
        "C": "1", "model__tol": "2", "later": "9", "model.C": "3"
    }  # fmt: skip
    assert (reported.default, reported.metrics) == (("step__a",), ("score",))
    cut = Autologged.of(params, {AUTOLOGGED: tag[:40]})
    assert cut.shown(params) == params


def test_a_short_name_finds_its_param_where_a_server_gives_whole_runs(fitted):
    run = get_run(fitted.store, fitted.ids[0]).only(parse_columns("drop,seed"))
    drop = "columntransformer__onehotencoder__drop"
    assert run.params == {drop: "first", "seed": "7"}
