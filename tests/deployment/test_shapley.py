"""Contributions of columns: they sum to the output, and are Shapley values."""

import importlib.util
import sys
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from nbmlops.deployment.explain.shapley import explain_rows
from nbmlops.errors import DependencyError, UsageError

RNG = np.random.default_rng(7)
X = pd.DataFrame(RNG.normal(size=(300, 4)), columns=list("abcd"))
TWO = np.where(X.a + X.b * X.c > 0, "good", "bad")
THREE = np.digitize(X.a + X.b, [-0.7, 0.7])
NUMBER = 3 * X.a - X.b + X.c * X.d
KNOWN = X.head(5)
ROWS = X.iloc[20:26]


def explained(model, rows=ROWS, known=KNOWN):
    found = explain_rows(model, rows, known, rows.shape[1])
    total = found.base + found.contributions.sum(axis=1)
    np.testing.assert_allclose(total, found.output, rtol=1e-5, atol=1e-5)
    return found


def test_a_linear_model_is_explained_by_its_coefficients():
    model = Ridge().fit(X, NUMBER)
    found = explained(model)
    expected = (ROWS - KNOWN.mean()) * model.coef_
    np.testing.assert_allclose(found.contributions, expected, atol=1e-10)
    assert (found.of, found.method, found.labels) == ("number", "linear", None)
    np.testing.assert_allclose(found.base, model.predict(KNOWN).mean())
    np.testing.assert_allclose(found.output, model.predict(ROWS))


@pytest.mark.parametrize("model", [LogisticRegression(), LinearSVC()])
def test_the_margin_of_the_predicted_class_is_explained(model):
    model.fit(X, TWO)
    found = explained(model)
    sign = np.where(model.predict(ROWS) == "good", 1, -1)
    expected = (ROWS - KNOWN.mean()) * model.coef_[0] * sign[:, None]
    np.testing.assert_allclose(found.contributions, expected, atol=1e-10)
    np.testing.assert_allclose(found.output, sign * model.decision_function(ROWS))
    assert (found.of, found.method) == ("margin", "linear")
    assert found.labels == model.predict(ROWS).tolist()
    assert (found.output > 0).all()


def test_a_linear_model_behind_a_pipeline_is_explained_by_the_raw_columns():
    frame = X.assign(home=pd.Series(RNG.choice(["own", "rent", "none"], size=len(X))))
    frame.loc[::7, "a"] = np.nan
    numeric = make_pipeline(SimpleImputer(), StandardScaler())
    parts = (numeric, list("abcd")), (OneHotEncoder(), ["home"])
    model = make_pipeline(make_column_transformer(*parts), LogisticRegression()).fit(
        frame, THREE
    )
    rows, known = frame.iloc[14:30], frame.head(9)
    found = explained(model, rows, known)
    assert found.contributions.shape == (16, 5)
    assert (found.of, found.method) == ("margin", "linear")
    # By hand, from the coefficients of the transformed columns.
    moved = model[0].transform(rows) - model[0].transform(known).mean(axis=0)
    coef = model[-1].coef_[model.predict(rows)]
    by_hand = (moved * coef)[:, :4]
    np.testing.assert_allclose(found.contributions[:, :4], by_hand, atol=1e-10)
    of_home = (moved * coef)[:, 4:].sum(axis=1)
    np.testing.assert_allclose(found.contributions[:, 4], of_home, atol=1e-10)


@pytest.mark.parametrize(
    ("model", "y", "of"),
    [
        (RandomForestClassifier(20, random_state=0), THREE, "probability"),
        (RandomForestRegressor(20, random_state=0), NUMBER, "number"),
        (ExtraTreesRegressor(20, random_state=0), NUMBER, "number"),
        (DecisionTreeClassifier(max_depth=4), TWO, "probability"),
        (GradientBoostingClassifier(n_estimators=20), TWO, "margin"),
        (HistGradientBoostingClassifier(max_iter=20), TWO, "margin"),
        (HistGradientBoostingRegressor(max_iter=20), NUMBER, "number"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_trees_are_explained_exactly(model, y, of):
    model.fit(X.to_numpy(), y)
    found = explained(model, ROWS.to_numpy(), KNOWN.to_numpy())
    assert (found.of, found.method) == (of, "tree")


@pytest.mark.parametrize(("module", "name"), [("xgboost", "XGB"), ("lightgbm", "LGBM")])
def test_boosters_are_explained_exactly(module, name):
    made = getattr(importlib.import_module(module), f"{name}Classifier")(n_estimators=9)
    found = explained(made.fit(X, TWO == "good"))
    assert (found.of, found.method) == ("margin", "tree")


def test_the_base_of_a_tree_is_the_average_of_its_training_rows():
    model = HistGradientBoostingRegressor(max_iter=20).fit(X, NUMBER)
    found = explained(model)
    np.testing.assert_allclose(found.base, model.predict(X).mean(), atol=0.05)


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (KNeighborsClassifier(), TWO),
        (SVC(), THREE),
        (make_pipeline(PolynomialFeatures(), Ridge()), NUMBER),
        (make_pipeline(StandardScaler(), RandomForestRegressor(5)), NUMBER),
        (GradientBoostingClassifier(n_estimators=5), THREE),
    ],
    ids=lambda each: type(each).__name__,
)
def test_other_models_of_few_columns_are_explained_exactly(model, y):
    model.fit(X, y)
    assert explained(model).method == "exact"


def test_exact_values_are_those_of_the_definition():
    model = KNeighborsClassifier().fit(X, TWO)
    found = explained(model, ROWS.head(1))
    label = list(model.classes_).index(found.labels[0])

    def value(present):
        rows = KNOWN.copy()
        for name in present:
            rows[name] = ROWS[name].iloc[0]
        return model.predict_proba(rows)[:, label].mean()

    orders = list(permutations("abcd"))
    for column, name in enumerate("abcd"):
        gains = []
        for order in orders:
            before = order[: order.index(name)]
            gains.append(value([*before, name]) - value(before))
        np.testing.assert_allclose(found.contributions[0, column], np.mean(gains))


def test_many_columns_are_explained_by_permutations_alike_each_time():
    rows = RNG.normal(size=(60, 12))
    model = SVC().fit(rows, rows[:, 0] * rows[:, 1] > 0)
    first, second = (explained(model, rows[:3], rows[50:55]) for _ in range(2))
    assert first.method == "permutation"
    np.testing.assert_array_equal(first.contributions, second.contributions)


def test_one_column_has_it_all():
    texts = pd.Series(["good day", "bad day", "good night", "bad night"])
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    model.fit(texts, list("pnpn"))
    found = explain_rows(model, texts, texts, 1)
    total = found.base + found.contributions[:, 0]
    np.testing.assert_allclose(total, model.decision_function(texts) * [1, -1, 1, -1])


def test_dicts_are_explained_by_their_keys():
    pairs = (("own", 3.0), ("rent", 5.0), ("own", 9.0))
    rows = [{"home": home, "age": age} for home, age in pairs]
    model = make_pipeline(DictVectorizer(), Ridge()).fit(rows, [1.0, 2, 3])
    found = explain_rows(model, rows, rows, 2)
    total = found.base + found.contributions.sum(axis=1)
    np.testing.assert_allclose(total, model.predict(rows))


def test_without_shap_a_forest_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    wide = RNG.normal(size=(50, 11))
    model = RandomForestRegressor(3).fit(wide, wide[:, 0])
    with pytest.raises(DependencyError, match="RandomForestRegressor is expl") as error:
        explain_rows(model, wide[:2], wide[2:6], 11)
    assert "nbmlops[explain]" in error.value.fix
    model = Ridge().fit(wide, wide[:, 0])
    assert explained(model, wide[:2], wide[2:6]).method == "linear"
    assert explained(RandomForestRegressor(3).fit(X, NUMBER)).method == "exact"


def test_what_is_no_number_a_row_is_refused():
    with pytest.raises(UsageError, match="does not predict one number"):
        explain_rows(Ridge().fit(X, X[["a", "b"]]), ROWS, KNOWN, 4)
