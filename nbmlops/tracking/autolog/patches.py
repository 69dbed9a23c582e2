"""Calls of estimators and metrics, watched without the callers noticing.

While a recorder listens, the methods of scikit-learn's estimators are descriptors:
packages that ask for a method get the original, and only the user's code gets one
that tells the recorder. So cross-validation, searches and pipelines run what they
always run. Functions of ``sklearn.metrics`` have been imported by name long before;
they keep their identity, and only the function inside scikit-learn's own wrapper of
them is exchanged.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Literal

from nbmlops.tracking.autolog.call_origin import Origin, origin_of
from nbmlops.tracking.autolog.fits import LIBRARIES, Training
from nbmlops.tracking.autolog.methods import (
    FITS,
    PREDICTIONS,
    MethodProxy,
    hide_from_warnings,
)
from nbmlops.tracking.import_hook import PostImportHook

if TYPE_CHECKING:
    from nbmlops.tracking.autolog.recorder import Recorder

_METHODS = (*FITS, *PREDICTIONS, "score")
_BASE, _METRICS = "sklearn.base", "sklearn.metrics"
_VALIDATION = "sklearn.model_selection._validation"
_VALIDATIONS = ("cross_val_score", "cross_validate")


class EstimatorPatches:
    """Keeps the classes of a process watched while anyone listens."""

    def __init__(self) -> None:
        self.listener: Recorder | None = None
        self.fit_codes: dict[int, CodeType] = {}
        self._listeners: list[Recorder] = []
        self._classes: set[type] = set()
        self._undo: list[Callable[[], None]] = []

    def add(self, listener: Recorder) -> None:
        """Tell a listener of what happens from now on, instead of those before it."""
        if listener in self._listeners:
            return
        self._listeners.append(listener)
        self.listener = listener
        if len(self._listeners) == 1:
            self._install()

    def remove(self, listener: Recorder) -> None:
        """Tell a listener no more; without any, all is as it was found."""
        if listener not in self._listeners:
            return
        self._listeners.remove(listener)
        self.listener = self._listeners[-1] if self._listeners else None
        if self.listener is None:
            self._restore()

    def disable(self) -> None:
        """Leave the classes to another logger, for good."""
        for listener in list(self._listeners):
            listener.disable()
            self.remove(listener)

    def _install(self) -> None:
        modules = (_BASE, _METRICS, _VALIDATION, *LIBRARIES)
        awaited = [name for name in modules if name not in sys.modules]
        if awaited:
            finder = PostImportHook(awaited, self._arrived)
            self._undo.append(lambda: _remove(sys.meta_path, finder))
            sys.meta_path.insert(0, finder)
        for name in set(modules).difference(awaited):
            self._arrived(sys.modules[name])

    def _arrived(self, module: ModuleType) -> None:
        if self.listener is None:
            return
        if module.__name__ == _METRICS:
            for function in _checked(module, getattr(module, "__all__", ())):
                self._watch_function(function, "measured")
            return
        if module.__name__ == _VALIDATION:
            for function in _checked(module, _VALIDATIONS):
                self._watch_function(function, "validated")
            return
        if module.__name__ in LIBRARIES:
            self._watch_training(module)
            return
        base = getattr(module, "BaseEstimator", None)
        if base is not None:  # else another thread is still importing it
            self._watch_subclassing(base)
            for estimator in _subclasses(base):
                self._watch_class(estimator)

    def _watch_class(self, estimator: type) -> None:
        for cls in estimator.__mro__[:-1]:
            if cls in self._classes:
                continue
            self._classes.add(cls)
            for method in _METHODS:
                proxy = self._watched(cls.__dict__.get(method), method)
                if proxy is not None:
                    self._undo.append(functools.partial(_unwatch, cls, proxy))
                    with contextlib.suppress(TypeError, AttributeError):
                        setattr(cls, method, proxy)

    def _watched(self, original: Any, method: str) -> MethodProxy | None:  # noqa: ANN401
        if isinstance(original, MethodProxy):  # a copy of a class, as of `dataclass`
            return original
        is_plain = isinstance(original, FunctionType)
        if not is_plain and type(original).__name__ != "_AvailableIfDescriptor":
            return None
        if getattr(original, "__isabstractmethod__", False):
            return None
        if method in FITS:
            innermost = inspect.unwrap(original)
            if isinstance(innermost, FunctionType):
                code = innermost.__code__
                self.fit_codes[id(code)] = code
        return MethodProxy(original, method, self)

    def _watch_subclassing(self, base: Any) -> None:  # noqa: ANN401
        original = base.__dict__.get("__init_subclass__")

        def init_subclass(cls: Any, /, **kwargs: Any) -> None:  # noqa: ANN401
            inherited = original.__get__(None, cls) if original else None
            (inherited or super(base, cls).__init_subclass__)(**kwargs)
            if self.listener is not None:
                self._watch_class(cls)

        ours: Any = classmethod(init_subclass)

        def undo() -> None:
            if base.__dict__.get("__init_subclass__") is not ours:
                return
            if original is None:
                del base.__init_subclass__
            else:
                base.__init_subclass__ = original

        self._undo.append(undo)
        base.__init_subclass__ = ours

    def _watch_function(
        self, function: FunctionType, event: Literal["measured", "validated"]
    ) -> None:
        position = function.__code__.co_freevars.index("func")
        cell = (function.__closure__ or ())[position]
        original = cell.cell_contents

        @functools.wraps(original)
        def around(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                error.__traceback__ = error.__traceback__.tb_next  # type: ignore[union-attr]
                raise
            listener = self.listener
            if listener is not None:
                with contextlib.suppress(Exception):
                    getattr(listener, event)(original.__name__, args, kwargs, result)
            return result

        def undo() -> None:
            if cell.cell_contents is around:
                cell.cell_contents = original

        self._undo.append(undo)
        cell.cell_contents = hide_from_warnings(around)

    def _watch_training(self, library: Any) -> None:  # noqa: ANN401
        original = library.train

        @functools.wraps(original)
        def train(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            listener, training = self.listener, None
            caller = sys._getframe(1).f_code.co_filename
            if listener is not None and origin_of(caller) is Origin.USER:
                with contextlib.suppress(Exception):
                    training = Training(library, args, kwargs)
            if listener is None or training is None:
                return original(*args, **kwargs)
            try:
                booster = original(*args, **training.kwargs)
            except BaseException as error:
                training.end(None, error)
                with contextlib.suppress(Exception):
                    listener.trained(training)
                error.__traceback__ = error.__traceback__.tb_next  # type: ignore[union-attr]
                raise
            training.end(booster)
            with contextlib.suppress(Exception):
                listener.trained(training)
            return booster

        def undo() -> None:
            if library.train is ours:
                library.train = original

        ours = hide_from_warnings(train)
        self._undo.append(undo)
        library.train = ours

    def _restore(self) -> None:
        interrupt = None
        while self._undo:  # each may be done twice, so that an interrupt skips none
            try:
                self._undo[-1]()
                self._undo.pop()
            except KeyboardInterrupt as error:
                interrupt = error
        self._classes.clear()
        self.fit_codes.clear()
        if interrupt is not None:
            raise interrupt


PATCHES = EstimatorPatches()
"""The watch of this process: its classes are there but once."""


def _remove(items: list[Any], item: object) -> None:
    with contextlib.suppress(ValueError):
        items.remove(item)


def _unwatch(cls: type, proxy: MethodProxy) -> None:
    if cls.__dict__.get(proxy.method) is proxy:
        setattr(cls, proxy.method, proxy.original)


def _subclasses(base: type) -> Iterator[type]:
    seen: set[type] = {base}
    waiting = [base]
    while waiting:
        cls = waiting.pop()
        yield cls
        new: set[type] = set(cls.__subclasses__()) - seen
        seen.update(new)
        waiting.extend(new)


def _checked(module: ModuleType, names: Iterable[str]) -> Iterator[FunctionType]:
    """Yield the functions that scikit-learn has wrapped to check their arguments."""
    for name in names:
        function: Any = getattr(module, name, None)
        is_plain = isinstance(function, FunctionType)
        if is_plain and "func" in function.__code__.co_freevars:
            yield function
