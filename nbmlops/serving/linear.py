"""Linear models of scikit-learn on arrays of numbers.

For one row scikit-learn looks at the array some 30 times as long as it computes. A
request's numbers have been looked at when it was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class LinearPredictor:
    """Predicts as a fitted estimator does, by its coefficients."""

    scalers: Sequence[tuple[Array | None, Array | None]]
    """Means and scales of each step."""
    coefficients: Array
    intercept: Array | float
    classes: Array | None

    @classmethod
    def of(cls, estimator: Any) -> Self | None:  # noqa: ANN401 - any there is
        """Return the predictor of an estimator; None where it is not linear."""
        from sklearn import linear_model, svm
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import StandardScaler

        steps = [estimator]
        if type(estimator) is Pipeline:
            steps = [step for _, step in estimator.steps if step != "passthrough"]
        *scalers, last = steps
        if any(type(step) is not StandardScaler for step in scalers):
            return None
        classifiers = (
            *(linear_model.LogisticRegression, linear_model.LogisticRegressionCV),
            *(linear_model.Perceptron, linear_model.SGDClassifier, svm.LinearSVC),
        )
        regressors = (
            *(linear_model.LinearRegression, linear_model.SGDRegressor, svm.LinearSVR),
            *(linear_model.Ridge, linear_model.RidgeCV, linear_model.HuberRegressor),
            *(linear_model.Lasso, linear_model.LassoCV, linear_model.LassoLarsCV),
            *(linear_model.ElasticNet, linear_model.ElasticNetCV),
        )
        is_classifier = type(last) in classifiers
        coefficients = getattr(last, "coef_", None)
        if not is_classifier and type(last) not in regressors:
            return None
        if not isinstance(coefficients, np.ndarray):  # a sparse one
            return None
        return cls(
            [(s.mean_ if s.with_mean else None, s.scale_) for s in scalers],
            coefficients.T,
            last.intercept_,
            last.classes_ if is_classifier else None,
        )

    def _scores(self, rows: Array) -> Array | None:
        """Return the decision function; None where it is not finite."""
        with np.errstate(invalid="ignore", over="ignore"):
            for mean, scale in self.scalers:
                rows = rows if mean is None else rows - mean
                rows = rows if scale is None else rows / scale
            scores: Array = rows @ self.coefficients + self.intercept
        return scores if np.isfinite(scores).all() else None

    def predict(self, rows: Array) -> Array | None:
        """Return labels or values; None where the estimator itself has to say."""
        scores = self._scores(rows)
        if scores is None or self.classes is None:
            return scores
        is_second = scores.shape[1] == 1
        found: Array = (scores[:, 0] > 0) if is_second else scores.argmax(axis=1)
        return np.asarray(self.classes.take(found.astype(np.intp)))

    def predict_proba(self, rows: Array) -> Array | None:
        """Return the probabilities of a logistic regression, as `predict` does."""
        scores = self._scores(rows)
        if scores is None:
            return None
        if scores.shape[1] == 1:
            from scipy.special import expit

            second = expit(scores[:, 0])
            return np.stack([1 - second, second], axis=1)
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))
