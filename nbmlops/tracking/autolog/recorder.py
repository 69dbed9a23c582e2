"""What the user's code fits and measures while a cell runs."""

from __future__ import annotations

import contextlib
import numbers
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from nbmlops.store import fluent
from nbmlops.tracking.autolog.call_origin import Origin, is_first_call, origin_of
from nbmlops.tracking.autolog.fits import Fit, Score, Training
from nbmlops.tracking.autolog.methods import FITS, PREDICTIONS
from nbmlops.tracking.autolog.param_repr import (
    brief,
    changed_params,
    kind_of,
    params_of,
    table_of,
    title_of,
)
from nbmlops.tracking.autolog.patches import PATCHES
from nbmlops.tracking.journal.clock import elapsed_ns
from nbmlops.tracking.run.failures import error_text
from nbmlops.tracking.run.status import status_of

MAX_FITS = 20
"""Fits that are recorded, of models and of other estimators each."""

_MAX_SCORES = 1000
_MAX_PREDICTIONS = 1000


@dataclass(slots=True)
class _Call:
    fit: Fit
    method: str
    estimator: Any
    X: Any
    dataset: str
    began: float = field(default_factory=time.perf_counter)


class Recorder:
    """Takes note of fits and their scores, between `start` and `stop`."""

    def __init__(self) -> None:
        self.fits: list[Fit] = []
        self.validations: list[tuple[Any, Fit]] = []
        self.n_more = 0
        self.is_aside = False
        self._n_fits = {True: 0, False: 0}
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
        if origin_of(caller.f_code.co_filename) is Origin.USER:
            if is_fit and is_first_call(caller, PATCHES.fit_codes):
                return True
            return False if is_known else None
        return False if is_known and is_fit else None

    def begin(
        self,
        method: str,
        estimator: Any,  # noqa: ANN401
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        is_counted: bool,
    ) -> _Call | None:
        """Return the call, for `end`; None when it is not recorded."""
        known = self._current(estimator)
        if method in FITS:
            if known is not None and known.status is None:
                return None  # the fit calls its own, or that of its parent class
            if known is not None and is_counted and method == known.goes_on_with:
                known.status = None
            else:
                self._forget(estimator, known)
                known = self._new_fit(method, estimator) if is_counted else None
        if known is None:
            return None
        X = args[0] if args else kwargs.get("X")
        # The frames are this one, the stand-in's and the caller's.
        return _Call(known, method, estimator, X, _name_of(X, sys._getframe(2)))

    def end(
        self,
        call: _Call,
        result: object = None,
        error: BaseException | None = None,
    ) -> None:
        """Take note of how a call ended."""
        fit = call.fit
        if call.method in FITS:
            fit.seconds += time.perf_counter() - call.began
            fit.status = status_of(error)
        if error is not None:
            if call.method in FITS:
                fit.reason = error_text(error)
                self._forget(call.estimator, fit)
            return
        if call.method == "score":
            self._keep_score(fit, "score", "", call.dataset, result)
        elif call.method in PREDICTIONS or call.method == "fit_predict":
            self._keep_prediction(result, fit, call.dataset, call.X)
        if call.method in FITS:
            with contextlib.suppress(Exception):
                self._look_at(call)

    def measured(
        self,
        metric: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: object,
    ) -> None:
        """Take note of a metric of predictions whose estimator is known."""
        # The frames are this one, the stand-in's, scikit-learn's and the caller's.
        caller = sys._getframe(3)
        if not self._predictions or (
            origin_of(caller.f_code.co_filename) is not Origin.USER
        ):
            return
        found = {
            id(fit): (fit, dataset)
            for fit, dataset in map(self._source_of, (*args, *kwargs.values()))
            if fit is not None
        }
        if len(found) == 1:
            ((fit, dataset),) = found.values()
            options = [
                value if isinstance(value, str) else f"{key}_{value}"
                for key, value in kwargs.items()
                if isinstance(value, str | bool | int | float)
            ]
            self._keep_score(fit, metric, "_".join(options), dataset, result)

    def validated(
        self,
        function: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,  # noqa: ANN401
    ) -> None:
        """Take note of a cross-validation that the user's code asked for."""
        caller = sys._getframe(3)  # as in `measured`
        if origin_of(caller.f_code.co_filename) is not Origin.USER:
            return
        if len(self.validations) >= MAX_FITS:
            self.n_more += 1
            return
        estimator = args[0] if args else kwargs["estimator"]
        fit = Fit(
            title=title_of(estimator),
            is_model=True,
            params=params_of(estimator),
            changed=set(changed_params(estimator)),
            kind=kind_of(estimator),
            began_ns=elapsed_ns(),
            reference=lambda: None,
            goes_on_with="",
            status="FINISHED",
        )
        scoring = kwargs.get("scoring")
        if function == "cross_val_score":
            result = {"test_score": result}
        for key, folds in result.items():
            kind, _, metric = key.partition("_")
            if kind not in ("test", "train"):
                continue
            if isinstance(scoring, str) and metric == "score":
                metric = scoring
            name = f"cv_{metric}" if kind == "test" else f"cv_train_{metric}"
            self._keep_score(fit, name, "", "", float(folds.mean()))
            self._keep_score(fit, f"{name}_std", "", "", float(folds.std()))
        self.validations.append((estimator, fit))

    def trained(self, training: Training) -> None:
        """Take note of a booster that was trained, or failed to be."""
        with self._lock:
            if self._n_fits[True] >= MAX_FITS:
                self.n_more += 1
                return
            self._n_fits[True] += 1
        error, booster = training.error, training.booster
        fit = Fit(
            title=f"{training.library}.train",
            is_model=True,
            params={key: brief(value) for key, value in training.params.items()},
            changed=set(training.params),
            kind=f"{training.library}.train",
            began_ns=training.began_ns,
            reference=_reference(booster),
            goes_on_with="",
            seconds=training.seconds,
            status=status_of(error),
            reason=error_text(error) if error is not None else "",
        )
        for dataset, metrics in training.history.items():
            for metric, values in metrics.items():
                for value in values:
                    self._keep_score(fit, metric, "", dataset, value)
        self.fits.append(fit)

    def _new_fit(self, method: str, estimator: Any) -> Fit | None:  # noqa: ANN401
        try:
            is_model = _is_model(estimator)
            with self._lock:
                if self._n_fits[is_model] >= MAX_FITS:
                    self.n_more += 1
                    return None
                self._n_fits[is_model] += 1
            fit = Fit(
                title=title_of(estimator),
                is_model=is_model,
                params=params_of(estimator),
                changed=set(changed_params(estimator)),
                kind=kind_of(estimator),
                began_ns=elapsed_ns(),
                reference=_reference(estimator),
                goes_on_with="partial_fit" if method == "partial_fit" else "",
            )
        except Exception:  # noqa: BLE001 - an estimator of the user's may do anything
            return None
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

    def _look_at(self, call: _Call) -> None:
        """Keep what a fit has left in the estimator."""
        fit, state = call.fit, vars(call.estimator)
        self._keep_prediction(state.get("labels_"), fit, call.dataset, call.X)
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
        variant: str,
        dataset: str,
        value: Any,  # noqa: ANN401
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
    names: Iterator[str] = (
        name
        for name, other in list(caller.f_globals.items())
        if other is value and not name.startswith("_")
    )
    return next(names, "")
