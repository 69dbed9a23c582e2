"""Ensembles that treelite predicts: as their own libraries do, and only then."""

import logging
import sys
from itertools import product

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression

from nbmlops.serving import trees
from nbmlops.serving.model import load
from nbmlops.store.models.files import save_model

FORESTS = {"n_estimators": 20, "random_state": 0}
BOOSTED = {"random_state": 0}
LIGHT = {"n_estimators": 20, "verbose": -1, "random_state": 0, "n_jobs": 1}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(600, 6)), columns=list("abcdef"))


@pytest.fixture(autouse=True)
def faster_up_to(monkeypatch):
    """Say for how many rows treelite is faster, whatever the machine does meanwhile."""

    def set_to(n_rows):
        def seconds(predict, rows):
            is_fast = isinstance(getattr(predict, "__self__", None), trees.Trees)
            return 2.0 if is_fast and len(rows) > n_rows else float(not is_fast)

        monkeypatch.setattr(trees, "_seconds", seconds)

    set_to(10_000)
    return set_to


def is_by_treelite(found):
    return isinstance(getattr(found.predict, "__self__", None), trees.Trees)


def targets(rows):
    number = 5 * rows.a + rows.b**2
    return {
        "two": np.where(number > 0, "good", "bad"),
        "three": np.digitize(number, [-2, 2]) * 10,
        "number": number,
        "count": np.round(np.abs(number)),
    }


def served(model, rows, folder, **options):
    folder.mkdir()
    save_model(model, folder, rows.head(5))
    return load(folder, name="m", version=1, **options)


MODELS = [
    (HistGradientBoostingClassifier(**BOOSTED), ("two", "three")),
    (HistGradientBoostingRegressor(**BOOSTED), ("number",)),
    (HistGradientBoostingRegressor(loss="poisson", **BOOSTED), ("count",)),
    (RandomForestClassifier(**FORESTS), ("two", "three")),
    (RandomForestRegressor(**FORESTS), ("number",)),
    (ExtraTreesClassifier(**FORESTS), ("two", "three")),
    (ExtraTreesRegressor(**FORESTS), ("number",)),
    (GradientBoostingClassifier(**BOOSTED), ("two", "three")),
    (GradientBoostingRegressor(**BOOSTED), ("number",)),
    (lightgbm.LGBMClassifier(**LIGHT), ("two", "three")),
    (lightgbm.LGBMRegressor(**LIGHT), ("number",)),
    (lightgbm.LGBMRegressor(objective="poisson", **LIGHT), ("count",)),
]


def thresholds(model):
    """Return where the trees of scikit-learn split, and the numbers beside."""
    if hasattr(model, "_predictors"):
        trees = [tree.nodes for trees in model._predictors for tree in trees]
        found = np.concatenate([nodes["num_threshold"] for nodes in trees])
    elif hasattr(model, "estimators_"):
        trees = [tree.tree_ for tree in np.ravel(model.estimators_)]
        found = np.concatenate([tree.threshold for tree in trees])
    else:
        return np.zeros(0)
    found = found[np.isfinite(found)]
    around = [found, np.nextafter(found, -np.inf), np.nextafter(found, np.inf)]
    singles = found.astype(np.float32)
    around += [singles, np.nextafter(singles, np.float32(-np.inf))]
    return np.concatenate(around).astype(float)


@pytest.mark.parametrize(
    ("model", "target"),
    [(model, target) for model, names in MODELS for target in names],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_predictions_are_those_of_the_model(model, target, rows, tmp_path, caplog):
    model.fit(rows, targets(rows)[target])
    with caplog.at_level(logging.INFO):
        fast = served(model, rows, tmp_path / "fast")
    assert "m/1 is predicted by treelite for up to 2048 rows" in caplog.text
    own = served(model, rows, tmp_path / "own", is_fast=False)
    rng = np.random.default_rng(1)
    array = rows.to_numpy()
    edges = thresholds(model)
    at_edges = rng.choice(edges, (600, 6)) if len(edges) else array
    huge = array.copy()
    huge[:, 0] = 1e30
    for some in (array, at_edges, huge, array[:, ::-1]):
        for part in np.array_split(some, 20):
            found, expected = fast.predict(part), own.predict(part)
            assert found.dtype == expected.dtype
            if expected.dtype.kind == "f":
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
            else:
                assert found.tolist() == expected.tolist()
            if own.predict_proba is not None:
                found, expected = fast.predict_proba(part), own.predict_proba(part)
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def outcome(predict, rows):
    try:
        return predict(rows).tolist()
    except ValueError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("model", [model for model, _ in MODELS], ids=repr)
def test_what_is_no_common_number_is_the_models_own_to_answer_or_refuse(
    model, rows, tmp_path
):
    name = "three" if hasattr(model, "predict_proba") else "count"
    model.fit(rows, targets(rows)[name])
    fast = served(model, rows, tmp_path / "fast")
    own = served(model, rows, tmp_path / "own", is_fast=False)
    for value, column in product([np.nan, np.inf, -np.inf, 1e300], range(3)):
        some = rows.head(3).to_numpy().copy()
        some[1, column] = value
        found, expected = outcome(fast.predict, some), outcome(own.predict, some)
        if isinstance(expected, str):
            assert found == expected
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_model_fitted_with_gaps_predicts_rows_with_gaps(rows, tmp_path):
    gaps = rows.mask(np.random.default_rng(2).random(rows.shape) < 0.2)
    for i, model in enumerate(
        (
            HistGradientBoostingRegressor(),
            RandomForestRegressor(**FORESTS),
            lightgbm.LGBMRegressor(**LIGHT),
        )
    ):
        model.fit(gaps, targets(rows)["number"])
        fast = served(model, gaps, tmp_path / f"fast{i}")
        assert is_by_treelite(fast)
        array = gaps.to_numpy()
        for part in np.array_split(array, 20):
            expected = model.predict(part)
            np.testing.assert_allclose(fast.predict(part), expected, rtol=1e-9)


@pytest.mark.parametrize("n_rows", [0, 8])
def test_more_rows_than_treelite_is_faster_for_are_the_models_own(
    n_rows, rows, tmp_path, faster_up_to, caplog
):
    faster_up_to(n_rows)
    model = HistGradientBoostingClassifier(**BOOSTED).fit(rows, targets(rows)["two"])
    with caplog.at_level(logging.INFO):
        fast = served(model, rows, tmp_path / "fast")
    assert is_by_treelite(fast) == (n_rows > 0)
    says = "up to 8 rows" if n_rows else "which is slower"
    assert says in caplog.text
    many = rows.to_numpy()
    assert (fast.predict(many) == model.predict(many)).all()
    assert (fast.predict_proba(many) == model.predict_proba(many)).all()


def test_a_model_that_treelite_predicts_otherwise_predicts_itself(
    rows, tmp_path, caplog
):
    model = lightgbm.LGBMClassifier(objective="multiclassova", **LIGHT)
    model.fit(rows, targets(rows)["three"])
    with caplog.at_level(logging.INFO):
        assert not is_by_treelite(served(model, rows, tmp_path / "fast"))
    assert "predictions are not equal" in caplog.text


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        xgboost.XGBClassifier(n_estimators=10),
        GradientBoostingClassifier(init=LogisticRegression()),
    ],
    ids=repr,
)
def test_other_models_are_predicted_by_themselves(model, rows, tmp_path):
    model.fit(rows, (rows.a > 0).astype(int))
    found = served(model, rows, tmp_path / "fast")
    assert not is_by_treelite(found)


def test_a_booster_of_lightgbm_is_predicted_as_it_predicts(rows, tmp_path):
    data = lightgbm.Dataset(rows, (rows.a > 0).astype(int))
    options = {"objective": "binary", "verbose": -1}
    model = lightgbm.train(options, data, num_boost_round=20)
    fast = served(model, rows, tmp_path / "fast")
    assert is_by_treelite(fast)
    array = rows.to_numpy()
    for part in np.array_split(array, 20):
        np.testing.assert_allclose(fast.predict(part), model.predict(part), rtol=1e-12)


def test_without_treelite_the_model_predicts(rows, tmp_path, monkeypatch):
    model = HistGradientBoostingClassifier(**BOOSTED).fit(rows, targets(rows)["two"])
    monkeypatch.setitem(sys.modules, "treelite", None)
    found = served(model, rows, tmp_path / "fast")
    assert not is_by_treelite(found)
