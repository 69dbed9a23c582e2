"""Wrappers of methods and functions that report the user's calls to a listener."""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from nbmlops.tracking.autolog.call_origin import WRAPPER_FILE, origin_of

if TYPE_CHECKING:
    from nbmlops.tracking.autolog.patches import EstimatorPatches

FITS = frozenset({"fit", "fit_transform", "fit_predict", "partial_fit"})
PREDICTIONS = frozenset(
    {"predict", "predict_proba", "predict_log_proba", "decision_function"}
)
End = Callable[[Any, BaseException | None], None]
"""Takes a call's result, or the error that ended it."""
Begin = Callable[[tuple[Any, ...], dict[str, Any]], End | None]
"""Takes a call's arguments; returns None for a call that is not recorded."""


@lru_cache(maxsize=64)
def _hidden(code: CodeType) -> CodeType:
    return code.replace(co_filename=WRAPPER_FILE)


def wrapped(original: Any, begin: Begin, *, is_method: bool = False) -> Any:  # noqa: ANN401
    """Return what replaces a function, or a method, and reports its calls.

    Warnings and tracebacks are those of the bare call.
    """
    is_function = isinstance(original, FunctionType)

    @functools.wraps(original if is_function else original.__wrapped__)
    def around(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        function, given = original, args
        if is_method:
            function, given = original.__get__(args[0], type(args[0])), args[1:]
        end = None
        with suppress(Exception):  # the user's objects may raise anything
            end = begin(args, kwargs)
        try:
            result = function(*given, **kwargs)
        except BaseException as error:
            with suppress(Exception):
                if end is not None:
                    end(None, error)
            error.__traceback__ = error.__traceback__.tb_next  # type: ignore[union-attr]
            raise
        with suppress(Exception):
            if end is not None:
                end(result, None)
        return result

    hidden: Any = around
    hidden.__code__ = _hidden(hidden.__code__)
    return hidden


class MethodProxy:
    """A method of estimators that tells the listener when the user calls it."""

    def __init__(self, original: Any, method: str, patches: EstimatorPatches) -> None:  # noqa: ANN401
        self.original = original
        self.method = method
        self.patches = patches
        self._wrappers: dict[bool, Any] = {}

    def __get__(self, estimator: object, owner: type | None = None) -> Any:  # noqa: ANN401
        try:
            bound = self.original.__get__(estimator, owner)
        except BaseException as error:  # the method is not available
            error.__traceback__ = error.__traceback__.tb_next  # type: ignore[union-attr]
            raise
        listener = self.patches.listener
        if listener is None:
            return bound
        caller = sys._getframe(1)
        if estimator is None:
            if origin_of(caller.f_code.co_filename) == "mlflow":
                self.patches.disable()  # its autolog has come to patch the class
            return bound
        is_counted = listener.expects(self.method, estimator, caller)
        if is_counted is None:
            return bound
        if is_counted not in self._wrappers:
            self._wrappers[is_counted] = wrapped(
                self.original,
                functools.partial(self._begin, is_counted),
                is_method=True,
            )
        return MethodType(self._wrappers[is_counted], estimator)

    def _begin(
        self, is_counted: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> End | None:
        listener, caller = self.patches.listener, sys._getframe(2)
        if listener is None:
            return None
        return listener.begin(self.method, args, kwargs, caller, is_counted=is_counted)

    def __reduce__(self) -> tuple[Any, ...]:
        # A class of the notebook's own is pickled for other processes by its content.
        return operator.getitem, ((self.original,), 0)
