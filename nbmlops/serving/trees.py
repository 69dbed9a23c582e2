"""Tree ensembles on few rows, predicted by treelite where that is equal and faster."""

from __future__ import annotations

import logging
from dataclasses import replace
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nbmlops.serving.model import Predict, ServedModel

_log = logging.getLogger(__name__)
_SINGLE = {  # compare values in single precision
    f"{name}{kind}"
    for name in ("RandomForest", "ExtraTrees", "GradientBoosting")
    for kind in ("Classifier", "Regressor")
}
_SKLEARN = {
    *_SINGLE,
    "HistGradientBoostingClassifier",
    "HistGradientBoostingRegressor",
}
# XGBoost sums in single precision, and treelite in another order: 1e-6 apart.
_NAMES = {"sklearn": _SKLEARN, "lightgbm": {"LGBMClassifier", "LGBMRegressor"}}
_SIZES = (1, 8, 32, 128, 512, 2048)
_N_TRIED = 64
_BUDGET_S = 0.04
# Sums of doubles in another order differ by some of their last bits.
_TOLERANCE = 1e-12


def with_treelite(
    model: ServedModel, estimator: object, rows: NDArray[Any]
) -> ServedModel:
    """Return the model with treelite for up to as many rows as it is faster for.

    It is the model itself if treelite is not installed, does not know its kind, or does
    not predict equal values for rows like the given ones.
    """
    root = type(estimator).__module__.partition(".")[0]
    is_booster = hasattr(getattr(estimator, "booster", None), "model_to_string")
    is_known = is_booster or type(estimator).__name__ in _NAMES.get(root, ())
    if not is_known or find_spec("treelite") is None:
        return model
    name = f"{model.name}/{model.version}"
    try:
        fast = Trees(model, estimator)
        likes = _like(rows)
        fast.check(likes)
        fast.measure(likes)
    except Exception as error:  # noqa: BLE001 - then the model itself predicts
        _log.info("%s is not predicted by treelite: %s", name, error)
        return model
    if not fast.most_rows:
        _log.info("%s is not predicted by treelite, which is slower", name)
        return model
    _log.info("%s is predicted by treelite for up to %d rows", name, fast.most_rows)
    return replace(
        model,
        predict=fast.predict,
        predict_proba=model.predict_proba and fast.predict_proba,
        call_s=fast.call_s,
    )


class Trees:
    """An ensemble as treelite holds it, and the model for what that does not do."""

    def __init__(self, model: ServedModel, estimator: Any) -> None:  # noqa: ANN401
        import treelite

        name = type(estimator).__name__
        booster = getattr(estimator, "booster_", getattr(estimator, "booster", None))
        self._trees = (
            treelite.sklearn.import_model(estimator)
            if name in _SKLEARN
            else treelite.frontend.from_lightgbm(booster)
        )
        self._gtil = treelite.gtil.predict
        self._predict, self._predict_proba = model.predict, model.predict_proba
        self._classes = np.asarray(model.classes) if model.predict_proba else None
        self._is_single = name in _SINGLE
        self._has_shares = name in ("RandomForestClassifier", "ExtraTreesClassifier")
        self._is_tie_true = name == "GradientBoostingClassifier"
        self._takes_nan = True
        self.most_rows, self.call_s = 3 * _N_TRIED, 0.0

    def predict(self, rows: Any) -> Any:  # noqa: ANN401 - what the model returns
        """Return what the model predicts."""
        taken = self._taken(rows)
        if taken is None:
            return self._predict(rows)
        if self._classes is None:
            return self._outputs(taken)
        sums = self._outputs(taken, pred_margin=True)
        if sums.ndim == 2:
            return self._classes[sums.argmax(axis=1)]
        is_true = sums >= 0 if self._is_tie_true else sums > 0
        return self._classes[is_true.astype(int)]

    def predict_proba(self, rows: Any) -> Any:  # noqa: ANN401 - what the model returns
        """Return what the model gives as probabilities."""
        taken = self._taken(rows)
        if taken is None:
            assert self._predict_proba is not None  # noqa: S101 - it has classes
            return self._predict_proba(rows)
        sums = self._outputs(taken, pred_margin=True)
        if self._has_shares:
            return sums
        if sums.ndim == 2:
            powers = np.exp(sums - sums.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)
        share = 1 / (1 + np.exp(-sums))
        return np.column_stack([1 - share, share])

    def _outputs(self, rows: NDArray[Any], **options: bool) -> NDArray[Any]:
        found: NDArray[Any] = self._gtil(self._trees, rows, nthread=1, **options)
        n_rows, n_targets, n_values = found.shape
        if n_targets != 1:
            raise ValueError(f"it has {n_targets} targets")
        return found.reshape(n_rows) if n_values == 1 else found[:, 0]

    def _taken(self, rows: Any) -> NDArray[np.float64] | None:  # noqa: ANN401
        """Return rows as treelite takes them; None if the model is to predict them."""
        if not isinstance(rows, np.ndarray) or len(rows) > self.most_rows:
            return None
        # What no single holds becomes infinite, which is not for treelite.
        with np.errstate(over="ignore"):
            single = rows.astype(np.float32) if self._is_single else rows
            taken = np.ascontiguousarray(single, np.float64)
        if not np.isfinite(taken).all() and (
            not self._takes_nan or np.isinf(taken).any()
        ):
            return None
        return taken

    def check(self, rows: NDArray[np.float64]) -> None:
        """Raise if the predictions are not equal; find whether it takes gaps."""
        gaps = np.where(np.random.default_rng(1).random(rows.shape) < 0.2, np.nan, rows)
        try:
            self._predict(gaps)
        except ValueError:
            self._takes_nan = False
        for each in (rows, gaps) if self._takes_nan else (rows,):
            _check_equal(self.predict(each), self._predict(each))
            if self._predict_proba is not None:
                _check_equal(self.predict_proba(each), self._predict_proba(each))

    def measure(self, rows: NDArray[np.float64]) -> None:
        """Find for how many rows treelite is faster, within a budget of time."""
        begun, most_rows = perf_counter(), 0
        for n_rows in _SIZES:
            some = np.resize(rows, (n_rows, rows.shape[1]))
            self.most_rows = n_rows
            fast_s = _seconds(self.predict, some)
            if fast_s > _seconds(self._predict, some):
                break
            most_rows, self.call_s = n_rows, self.call_s or fast_s
            if perf_counter() - begun > _BUDGET_S:
                break
        self.most_rows = most_rows


def _like(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Return some two hundred rows: the given ones, then such with values moved."""
    rng = np.random.default_rng(0)
    given = np.asarray(rows, np.float64)[:_N_TRIED]
    shape = (_N_TRIED, given.shape[1])
    drawn = given[rng.integers(len(given), size=shape), np.arange(shape[1])]
    numbers = np.nan_to_num(given)
    spread = numbers.std(axis=0)
    spread[spread == 0] = 1 + np.abs(numbers[0, spread == 0])
    moved = drawn + rng.normal(size=shape) * spread
    return np.concatenate([given, drawn, moved])


def _check_equal(found: NDArray[Any], expected: NDArray[Any]) -> None:
    expected = np.asarray(expected)
    if found.dtype != expected.dtype or found.shape != expected.shape:
        raise ValueError(
            f"it predicts {found.dtype}{found.shape}, "
            f"the model {expected.dtype}{expected.shape}"
        )
    if expected.dtype.kind != "f":
        n_other = int((found != expected).sum())
    else:
        most = _TOLERANCE * float(np.abs(expected).max(initial=0.0))
        n_other = int((~(np.abs(found - expected) <= most)).sum())
    if n_other:
        raise ValueError(f"{n_other} of {expected.size} predictions are not equal")


def _seconds(predict: Predict, rows: NDArray[Any]) -> float:
    seconds = []
    for _ in range(3):
        begun = perf_counter()
        predict(rows)
        seconds.append(perf_counter() - begun)
    return min(seconds)
