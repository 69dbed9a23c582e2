"""What the user's code fits and measures while a cell runs."""

from __future__ import annotations

import contextlib
import numbers
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from types import FrameType, ModuleType
from typing import Any

from nbmlops.store import fluent
from nbmlops.tracking.autolog.call_origin import is_first_call, is_users
from nbmlops.tracking.autolog.fits import Fit, Score
from nbmlops.tracking.autolog.methods import FITS, PREDICTIONS, End
from nbmlops.tracking.autolog.param_repr import brief, table_of
from nbmlops.tracking.autolog.patches import PATCHES
from nbmlops.tracking.run.failures import error_text
from nbmlops.tracking.run.status import status_of

MAX_FITS = 20
"""Fits that are recorded, of models and of other estimators each."""

_MAX_SCORES = 1000
_MAX_PREDICTIONS = 1000
_CALLER = 4  # frames: the recorder, the patches, the wrapper, scikit-learn's check


class Recorder:
    """Takes note of fits and their scores, between `start` and `stop`."""

    def __init__(self) -> None:
        self.fits: list[Fit] = []
        self.validations: list[tuple[Any, Fit]] = []
        self.n_more = 0
        self.is_aside = False
        self._n_fits: Counter[str] = Counter()
        self._n_scores = 0
        self._known: dict[int, tuple[Callable[[], Any], Fit]] = {}
        self._predictions: dict[int, tuple[Callable[[], Any], Fit, str]] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to listen, unless MLflow's own autolog is on."""
        self.is_aside = self.is_aside or fluent.has_autolog()
        if not self.is_aside:
            PATCHES.add(self)

    def stop(self) -> None:
        """Listen no more; `start` goes on where it was left."""
        PATCHES.remove(self)

    def disable(self) -> None:
        """Leave this run to MLflow's autolog."""
        self.is_aside = True
        self.fits.clear()
        self.validations.clear()
        self.n_more = 0

    def expects(self, method: str, estimator: object, caller: FrameType) -> bool | None:
        """Return whether a call counts as the user's fit, None to let it pass."""
        is_known = id(estimator) in self._known
        is_fit = method in FITS
        if is_users(caller):
            if is_fit and is_first_call(caller, PATCHES.fit_codes):
                return True
            return False if is_known else None
        return False if is_known and is_fit else None

    def begin(
        self,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        caller: FrameType,
        *,
        is_counted: bool,
    ) -> End | None:
        """Take note of a call of an estimator's method."""
        estimator, *given = args
        fit, is_fit = self._current(estimator), method in FITS
        if is_fit:
            if fit is not None and fit.status is None:
                return None  # the fit calls its own, or that of its parent class
            if fit is not None and is_counted and method == fit.goes_on_with:
                fit.status = None
            else:
                self._forget(estimator, fit)
                fit = self._new_fit(method, estimator) if is_counted else None
        if fit is None:
            return None
        known = fit
        X = given[0] if given else kwargs.get("X")
        dataset = _name_of(X, caller)
        began = time.perf_counter()

        def end(result: object, error: BaseException | None) -> None:
            if is_fit:
                known.seconds += time.perf_counter() - began
                known.status = status_of(error)
            if is_fit and error is not None:
                known.reason = error_text(error)
                self._forget(estimator, known)
            if error is not None:
                return
            if method == "score":
                self._keep_score(known, "score", result, dataset=dataset)
            elif method in PREDICTIONS or method == "fit_predict":
                self._keep_prediction(result, known, dataset, X)
            if is_fit:
                self._keep_prediction(vars(estimator).get("labels_"), known, dataset, X)
                self._keep_search(known, vars(estimator))

        return end

    def measuring(
        self, metric: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> End | None:
        """Take note of a metric of predictions whose estimator is known."""
        if not self._predictions or not is_users(sys._getframe(_CALLER)):
            return None
        found = {
            id(fit): (fit, dataset)
            for fit, dataset in map(self._source_of, (*args, *kwargs.values()))
            if fit is not None
        }
        if len(found) != 1:
            return None
        ((fit, dataset),) = found.values()
        options = [
            value if isinstance(value, str) else f"{key}_{value}"
            for key, value in kwargs.items()
            if isinstance(value, str | bool | int | float)
        ]
        variant = "_".join(options)

        def end(result: object, error: BaseException | None) -> None:
            if error is None:
                self._keep_score(fit, metric, result, variant=variant, dataset=dataset)

        return end

    def validating(
        self, function: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> End | None:
        """Take note of a cross-validation that the user's code asks for."""
        if not is_users(sys._getframe(_CALLER)):
            return None
        estimator = args[0] if args else kwargs["estimator"]
        scoring = kwargs.get("scoring")

        def end(result: Any, error: BaseException | None) -> None:  # noqa: ANN401
            if error is not None or not self._has_room("validation"):
                return
            fit = Fit.of(estimator, status="FINISHED")
            if function == "cross_val_score":
                result = {"test_score": result}
            for key, folds in result.items():
                kind, _, metric = key.partition("_")
                if kind not in ("test", "train"):
                    continue
                if isinstance(scoring, str) and metric == "score":
                    metric = scoring
                name = f"cv_{metric}" if kind == "test" else f"cv_train_{metric}"
                self._keep_score(fit, name, float(folds.mean()))
                self._keep_score(fit, f"{name}_std", float(folds.std()))
            self.validations.append((estimator, fit))

        return end

    def training(
        self, library: ModuleType, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> End | None:
        """Take note of a booster that is trained, and have its curves recorded."""
        if not is_users(sys._getframe(_CALLER - 1)):
            return None
        history: dict[str, dict[str, Any]] = {}
        given = args[0] if args else kwargs.get("params")
        params = dict(given) if isinstance(given, Mapping) else {}
        rounds = args[2] if len(args) > 2 else kwargs.get("num_boost_round")
        if rounds is not None:
            params["num_boost_round"] = rounds
        if library.__name__ == "lightgbm" and kwargs.get("valid_sets") is not None:
            record = library.record_evaluation(history)
            kwargs["callbacks"] = [*(kwargs.get("callbacks") or ()), record]
        elif library.__name__ == "xgboost" and kwargs.get("evals") is not None:
            if isinstance(kwargs.get("evals_result"), dict):
                history = kwargs["evals_result"]
            kwargs["evals_result"] = history
        title = f"{library.__name__}.train"
        texts = {key: brief(value) for key, value in params.items()}
        fit = Fit(title=title, kind=title, params=texts, changed=set(texts))
        began = time.perf_counter()

        def end(booster: object, error: BaseException | None) -> None:
            fit.seconds = time.perf_counter() - began
            if not self._has_room("model"):
                return
            fit.reference, fit.status = _reference(booster), status_of(error)
            fit.reason = error_text(error) if error is not None else ""
            for dataset, metrics in history.items():
                for metric, values in metrics.items():
                    for value in values:
                        self._keep_score(fit, metric, value, dataset=dataset)
            self.fits.append(fit)

        return end

    def _has_room(self, kind: str) -> bool:
        """Count a fit; return whether it is to be recorded."""
        with self._lock:
            if self._n_fits[kind] >= MAX_FITS:
                self.n_more += 1
                return False
            self._n_fits[kind] += 1
            return True

    def _new_fit(self, method: str, estimator: Any) -> Fit | None:  # noqa: ANN401
        is_model = _is_model(estimator)
        if not self._has_room("model" if is_model else "transformer"):
            return None
        fit = Fit.of(
            estimator,
            is_model=is_model,
            reference=_reference(estimator),
            goes_on_with="partial_fit" if method == "partial_fit" else "",
        )
        self.fits.append(fit)
        self._known[id(estimator)] = (fit.reference, fit)
        return fit

    def _current(self, estimator: object) -> Fit | None:
        reference, fit = self._known.get(id(estimator), (None, None))
        return fit if reference is not None and reference() is estimator else None

    def _forget(self, estimator: object, fit: Fit | None) -> None:
        if fit is not None:
            fit.is_latest = False
            self._known.pop(id(estimator), None)

    def _keep_search(self, fit: Fit, state: Mapping[str, Any]) -> None:
        """Keep what a search has found."""
        if not isinstance(state.get("cv_results_"), Mapping):
            return
        fit.table = table_of(state["cv_results_"])
        best = state.get("best_params_")
        if isinstance(best, Mapping):
            for key, value in best.items():
                fit.params.pop(f"estimator__{key}", None)
                fit.params[f"best_{key}"] = brief(value)
                fit.changed.add(f"best_{key}")
        if isinstance(state.get("best_score_"), numbers.Real):
            fit.search["best_cv_score"] = float(state["best_score_"])
        if "best_estimator_" in state:  # scores of it are scores of the search
            best_estimator = state["best_estimator_"]
            self._known[id(best_estimator)] = (_reference(best_estimator), fit)

    def _keep_prediction(
        self, value: object, fit: Fit, dataset: str, X: object
    ) -> None:
        if value is None:
            return
        owner = _owner(value)  # a column of probabilities is a view of its memory
        for known in {id(item): item for item in (value, owner)}.values():
            if known is value or known is not _owner(X):
                with contextlib.suppress(TypeError):  # a list cannot be referred to
                    reference = weakref.ref(known)
                    with self._lock:
                        if len(self._predictions) >= _MAX_PREDICTIONS:
                            self._predictions.pop(next(iter(self._predictions)))
                        self._predictions[id(known)] = (reference, fit, dataset)

    def _source_of(self, value: object) -> tuple[Fit | None, str]:
        """Return the fit that predicted a value, or what it is a view of."""
        for known in (value, _owner(value)):
            found = self._predictions.get(id(known))
            if found is not None and found[0]() is known:
                return found[1], found[2]
        return None, ""

    def _keep_score(
        self,
        fit: Fit,
        metric: str,
        value: Any,  # noqa: ANN401
        *,
        variant: str = "",
        dataset: str = "",
    ) -> None:
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if is_number and self._n_scores < _MAX_SCORES:
            self._n_scores += 1
            fit.scores.append(
                Score(
                    metric=metric, variant=variant, dataset=dataset, value=float(value)
                )
            )


def _owner(value: Any) -> Any:  # noqa: ANN401
    """Return the array whose memory an array is a view of."""
    base = getattr(value, "base", None)
    return base if base is not None and type(base) is type(value) else value


def _is_model(estimator: Any) -> bool:  # noqa: ANN401
    if any(hasattr(estimator, name) for name in ("predict", "fit_predict")):
        return True
    # A stack can predict only once it is fitted; a pipeline of transformers never.
    return hasattr(type(estimator), "predict") and not hasattr(estimator, "steps")


def _reference(estimator: object) -> Callable[[], Any]:
    try:
        return weakref.ref(estimator)
    except TypeError:
        return lambda: None


def _name_of(value: object, caller: FrameType) -> str:
    """Return the name of the caller's global variable that holds a value."""
    if value is None:
        return ""
    for name, other in list(caller.f_globals.items()):
        if other is value and not name.startswith("_"):
            return name
    return ""
