"""Methods that tell a listener when the user's code calls them."""

from __future__ import annotations

import functools
import operator
import sys
from contextlib import suppress
from functools import lru_cache
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from nbmlops.tracking.autolog.call_origin import WRAPPER_FILE, Origin, origin_of

if TYPE_CHECKING:
    from nbmlops.tracking.autolog.patches import EstimatorPatches

FITS = frozenset({"fit", "fit_transform", "fit_predict", "partial_fit"})
PREDICTIONS = frozenset(
    {"predict", "predict_proba", "predict_log_proba", "decision_function"}
)


def hide_from_warnings(function: Any) -> Any:  # noqa: ANN401
    """Return a function with the frames of which warnings pass over."""
    function.__code__ = _masked(function.__code__)
    return function


@lru_cache(maxsize=64)
def _masked(code: CodeType) -> CodeType:
    return code.replace(co_filename=WRAPPER_FILE)


def _wrapper(proxy: MethodProxy, *, is_counted: bool) -> Any:  # noqa: ANN401
    """Return the function that replaces a method when the user calls it."""
    original, method, patches = proxy.original, proxy.method, proxy.patches
    is_function = isinstance(original, FunctionType)

    @functools.wraps(original if is_function else original.__wrapped__)
    def around(estimator: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        bound = original.__get__(estimator, type(estimator))
        listener, call = patches.listener, None
        if listener is not None:
            with suppress(Exception):  # the user's objects may raise anything
                call = listener.begin(method, estimator, args, kwargs, is_counted)
        try:
            result = bound(*args, **kwargs)
        except BaseException as error:
            if listener is not None and call is not None:
                with suppress(Exception):
                    listener.end(call, error=error)
            # The user's traceback is that of the bare call.
            error.__traceback__ = error.__traceback__.tb_next  # type: ignore[union-attr]
            raise
        if listener is not None and call is not None:
            with suppress(Exception):
                listener.end(call, result)
        return result

    return hide_from_warnings(around)


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
            if origin_of(caller.f_code.co_filename) is Origin.MLFLOW:
                self.patches.disable()  # its autolog has come to patch the class
            return bound
        is_counted = listener.expects(self.method, estimator, caller)
        if is_counted is None:
            return bound
        wrapper = self._wrappers.get(is_counted)
        if wrapper is None:
            wrapper = _wrapper(self, is_counted=is_counted)
            self._wrappers[is_counted] = wrapper
        return MethodType(wrapper, estimator)

    def __reduce__(self) -> tuple[Any, ...]:
        # A class of the notebook's own is pickled for other processes by its content.
        return operator.getitem, ((self.original,), 0)
