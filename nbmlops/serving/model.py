"""A model version, loaded and ready to predict."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from nbmlops.errors import DeployError, NbmlopsError, UsageError
from nbmlops.scoring.answer import write_answer
from nbmlops.scoring.example import read_example
from nbmlops.scoring.request import read_request, refusal
from nbmlops.scoring.rows import to_rows
from nbmlops.scoring.signature import InputSpec, read_input_spec, read_mlmodel
from nbmlops.serving.fast_reader import FastReader
from nbmlops.serving.files import prepare_loading
from nbmlops.serving.linear import LinearPredictor
from nbmlops.serving.trees import with_treelite
from nbmlops.store.models.files import load_model
from nbmlops.store.models.own_code import Trust

_log = logging.getLogger(__name__)
Predict = Callable[[Any], Any]
_N_CALLS = 3
_RELATIVE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """What answers requests.

    ``takes_arrays`` is whether an array of numbers is predicted as a table is,
    ``is_batchable`` whether rows are predicted alike alone and together, and ``call_s``
    how long one row takes; `tried` finds out.
    """

    name: str
    version: int
    spec: InputSpec
    predict: Predict
    predict_proba: Predict | None = None
    classes: Sequence[Any] = ()
    takes_arrays: bool = False
    is_batchable: bool = True
    call_s: float = math.inf
    document: Mapping[str, Any] = field(default_factory=dict)
    """The ``MLmodel``."""

    def function(self, output: str) -> Predict:
        """Return what predicts an output, or refuse it."""
        if output == "predictions":
            return self.predict
        if self.predict_proba is None:
            raise refusal(
                f"{self.name}/{self.version} gives no probabilities.",
                fix='Leave out "output": it predicts without.',
            )
        return self.predict_proba

    def tried(self, request: bytes, estimator: object = None) -> ServedModel:
        """Return the model with what one request, its input example, shows of it.

        An estimator that can be asked in a faster way is, where the answers are equal.
        Raises whatever the model raises.
        """
        table = read_request(request, "application/json", kind=self.spec.kind)
        rows = to_rows(table, self.spec)
        n_rows = _n_rows(rows)
        predicted = _answers(self.predict(rows))
        if len(predicted) != n_rows:
            raise DeployError(
                f"{self.name}/{self.version} answers {len(predicted)} predictions for "
                f"{n_rows} rows.",
                fix="Deploy a model that predicts one value for each row.",
            )
        array = (
            FastReader(self.spec).read(request) if FastReader.fits(self.spec) else None
        )
        takes_arrays = array is not None and self._is_equal(array[0], predicted)
        taken = array[0] if array is not None and takes_arrays else rows
        single = [_answers(self.predict(taken[i : i + 1])) for i in range(n_rows)]
        is_batchable = _is_close([each for row in single for each in row], predicted)
        model = replace(self, takes_arrays=takes_arrays, is_batchable=is_batchable)
        if array is not None and takes_arrays:
            model = model._sped_up(estimator, array[0])
        seconds = []
        for _ in range(_N_CALLS):
            begun = perf_counter()
            model.predict(taken[:1])
            seconds.append(perf_counter() - begun)
        return replace(model, call_s=min(seconds))

    def _sped_up(self, estimator: object, rows: np.ndarray[Any, Any]) -> ServedModel:
        fast, proba = LinearPredictor.of(estimator), self.predict_proba
        if fast is None:
            return self
        if proba is not None:
            proba = _faster(fast.predict_proba, proba, rows)
        predict = _faster(fast.predict, self.predict, rows)
        return replace(self, predict=predict, predict_proba=proba)

    def _is_equal(self, array: np.ndarray[Any, Any], predicted: list[Any]) -> bool:
        try:
            return _is_close(_answers(self.predict(array)), predicted) and (
                self.predict_proba is None or bool(len(self.predict_proba(array)))
            )
        except Exception:  # noqa: BLE001 - it wants a table
            return False


def _faster(
    fast: Callable[[Any], Any], own: Predict, rows: np.ndarray[Any, Any]
) -> Predict:
    """Return what asks the estimator only where the fast way has no answer.

    Where the two are not equal, on rows and on what is made of them, it is ``own``.
    """

    def predict(rows: Any) -> Any:  # noqa: ANN401 - what the estimator takes
        is_array = type(rows) is np.ndarray and rows.dtype == np.float64
        found = fast(rows) if is_array else None
        return own(rows) if found is None else found

    try:
        is_equal = all(
            _is_close(_answers(predict(each)), _answers(own(each)))
            for each in (rows, -rows, rows * 1.5, np.zeros_like(rows))
        )
    except Exception:  # noqa: BLE001 - the estimator may take no such rows
        is_equal = False
    return predict if is_equal else own


def _n_rows(rows: Any) -> int:  # noqa: ANN401
    return int(rows.shape[0]) if hasattr(rows, "shape") else len(rows)


def _is_close(found: list[Any], expected: list[Any]) -> bool:
    """Return whether predictions are equal but for the order of summation."""
    if found == expected:
        return True
    try:
        left, right = np.asarray(found, float), np.asarray(expected, float)
    except (ValueError, TypeError):
        return False
    return left.shape == right.shape and np.allclose(
        left, right, rtol=_RELATIVE, atol=0.0, equal_nan=True
    )


def _answers(predictions: object) -> list[Any]:
    return list(json.loads(write_answer(predictions))["predictions"])


def load(
    folder: Path, *, name: str, version: int, trust: Trust = (), is_fast: bool = True
) -> ServedModel:
    """Return the model of a folder, loaded by our own list of trusted types."""
    document = read_mlmodel(folder)
    spec = read_input_spec(document)
    prepare_loading()
    estimator = load_model(folder, trust)
    flavor = (document.get("flavors") or {}).get("python_function") or {}
    method = str(flavor.get("predict_fn") or "predict")
    predict = getattr(estimator, method, None)
    if method.startswith("_") or not callable(predict):
        raise UsageError(
            f"{type(estimator).__name__} has no method {method!r} to predict new rows.",
            fix="Deploy a model that has one.",
        )
    classes = getattr(estimator, "classes_", None)
    has_classes = method == "predict" and getattr(classes, "ndim", 0) == 1
    proba = getattr(estimator, "predict_proba", None) if has_classes else None
    model = ServedModel(
        name=name,
        version=version,
        spec=spec,
        predict=predict,
        predict_proba=proba,
        classes=() if classes is None else classes,
        document=document,
    )
    # Fitted with names, and predicting an array of which the columns are known.
    warnings.filterwarnings("ignore", "X does not have valid feature names")
    if example := read_example(folder):
        request = json.dumps(example.request()).encode()
        try:
            tried = model.tried(request, estimator if is_fast else None)
        except DeployError:
            raise
        except Exception as error:
            if not isinstance(error, NbmlopsError):
                _log.exception("the model fails on its own input example")
            raise failure(f"{name}/{version}", error) from error
        read = FastReader(spec).read(request) if tried.takes_arrays else None
        if is_fast and read is not None and method == "predict":
            return with_treelite(tried, estimator, read[0])
        return tried
    return model


def failure(target: str, error: Exception) -> DeployError:
    """Return the error that a version fails on the rows it was logged with."""
    why = f"{type(error).__name__}: {str(error)[:300]}"
    if isinstance(error, NbmlopsError):
        why = error.problem
    return DeployError(
        f"{target} fails on its own input example: {why}",
        fix=f"See that {target} predicts rows as it was logged with, then deploy "
        "again.",
    )
