"""Linear models are asked by their coefficients, and answer as they do themselves."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import (
    ElasticNet,
    LinearRegression,
    LogisticRegression,
    Ridge,
    SGDClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC

from nbmlops.serving.linear import LinearPredictor
from nbmlops.serving.model import load
from nbmlops.store.models.files import save_model

ROWS = np.random.default_rng(5).normal(size=(300, 4)) * [1, 10, 1e-3, 1e4]
TWO = np.where(ROWS[:, 0] > 0, "bad", "good")
THREE = np.digitize(ROWS[:, 1], [-5, 5])
VALUES = ROWS @ [1.0, 2.0, 3.0, 4e-4]
MODELS = {
    "two classes": (LogisticRegression(max_iter=500), TWO),
    "two classes of objects": (LogisticRegression(max_iter=500), TWO.astype(object)),
    "three classes": (make_pipeline(StandardScaler(), LogisticRegression()), THREE),
    "no mean": (make_pipeline(StandardScaler(with_mean=False), LinearSVC()), THREE),
    "log loss": (make_pipeline(StandardScaler(), SGDClassifier("log_loss")), THREE),
    "huber": (make_pipeline(StandardScaler(), SGDClassifier("modified_huber")), TWO),
    "values": (LinearRegression(), VALUES),
    "no intercept": (Ridge(fit_intercept=False), VALUES),
    "two outputs": (LinearRegression(), np.c_[VALUES, -VALUES]),
    "a list": (make_pipeline(StandardScaler(), ElasticNet(0.1)), VALUES),
}


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_the_estimators_own(name, tmp_path):
    model, target = MODELS[name]
    frame = pd.DataFrame(ROWS, columns=list("abcd"))
    model.fit(frame, target)
    save_model(model, tmp_path, frame)
    served = load(tmp_path, name="m", version=1)
    assert served.takes_arrays
    more = np.random.default_rng(6).normal(size=(2000, 4)) * [2, 20, 1e-3, 1e4]
    for rows in (ROWS, more, more[:1], more[:1] * 1e200):
        found, expected = served.predict(rows), model.predict(pd.DataFrame(rows))
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=1e-12)
        else:
            assert found.tolist() == expected.tolist()
        if served.predict_proba is not None:
            np.testing.assert_allclose(
                served.predict_proba(rows), model.predict_proba(rows), rtol=1e-9
            )


def test_what_is_no_number_is_the_estimators_to_refuse(tmp_path):
    model = LinearRegression().fit(ROWS, VALUES)
    save_model(model, tmp_path, ROWS)
    served = load(tmp_path, name="m", version=1)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="contains"):
            served.predict(np.full((1, 4), bad))


class Reversed(LogisticRegression):
    """Answers otherwise than its coefficients say."""

    def predict(self, X):
        return super().predict(-X)


def test_only_what_is_known_to_be_linear_is_asked_so():
    for model in (
        Reversed(max_iter=5000),
        make_pipeline(PolynomialFeatures(), LinearRegression()),
    ):
        assert LinearPredictor.of(model.fit(ROWS, THREE)) is None
    sparse = LogisticRegression(max_iter=5000).fit(ROWS, TWO).sparsify()
    assert LinearPredictor.of(sparse) is None
