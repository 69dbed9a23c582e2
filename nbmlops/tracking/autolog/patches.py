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
from types import CellType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from nbmlops.tracking.autolog.methods import (
    FITS,
    PREDICTIONS,
    End,
    MethodProxy,
    wrapped,
)
from nbmlops.tracking.import_hook import PostImportHook

if TYPE_CHECKING:
    from nbmlops.tracking.autolog.recorder import Recorder

_METHODS = (*FITS, *PREDICTIONS, "score")
_BASE, _METRICS = "sklearn.base", "sklearn.metrics"
_VALIDATION = "sklearn.model_selection._validation"
_VALIDATIONS = ("cross_val_score", "cross_validate")
_BOOSTERS = ("xgboost", "lightgbm")


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
        modules = (_BASE, _METRICS, _VALIDATION, *_BOOSTERS)
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
            self._watch_checked(module, getattr(module, "__all__", ()), "measuring")
        elif module.__name__ == _VALIDATION:
            self._watch_checked(module, _VALIDATIONS, "validating")
        elif module.__name__ in _BOOSTERS:
            begin = functools.partial(self._begin, "training", module)
            self._replace(module, "train", wrapped(module.train, begin), module.train)
        elif base := getattr(module, "BaseEstimator", None):
            # Else another thread is still importing it.
            self._watch_subclassing(base)
            for estimator in _subclasses(base):
                self._watch_class(estimator)

    def _begin(
        self,
        event: str,
        about: object,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> End | None:
        listener = self.listener
        return getattr(listener, event)(about, args, kwargs) if listener else None

    def _replace(self, owner: Any, name: str, ours: Any, original: Any) -> None:  # noqa: ANN401
        """Replace an attribute, until all is put back; None is one not there."""

        def undo() -> None:
            is_cell = isinstance(owner, CellType)
            now = owner.cell_contents if is_cell else vars(owner).get(name)
            if now is ours:  # else another has replaced it
                if original is None:
                    delattr(owner, name)
                else:
                    setattr(owner, name, original)

        self._undo.append(undo)
        with contextlib.suppress(TypeError, AttributeError):
            setattr(owner, name, ours)

    def _watch_class(self, estimator: type) -> None:
        for cls in estimator.__mro__[:-1]:
            if cls in self._classes:
                continue
            self._classes.add(cls)
            for method in _METHODS:
                proxy = self._watched(cls.__dict__.get(method), method)
                if proxy is not None:
                    self._replace(cls, method, proxy, proxy.original)

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

        self._replace(base, "__init_subclass__", classmethod(init_subclass), original)

    def _watch_checked(
        self, module: ModuleType, names: Iterable[str], event: str
    ) -> None:
        """Watch functions inside the wrapper that checks their arguments."""
        for name in names:
            function: Any = getattr(module, name, None)
            is_plain = isinstance(function, FunctionType)
            if is_plain and "func" in function.__code__.co_freevars:
                position = function.__code__.co_freevars.index("func")
                cell = (function.__closure__ or ())[position]
                original = cell.cell_contents
                begin = functools.partial(self._begin, event, original.__name__)
                ours = wrapped(original, begin)
                self._replace(cell, "cell_contents", ours, original)

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


def _subclasses(base: type) -> Iterator[type]:
    seen: set[type] = {base}
    waiting = [base]
    while waiting:
        cls = waiting.pop()
        yield cls
        new: set[type] = set(cls.__subclasses__()) - seen
        seen.update(new)
        waiting.extend(new)
