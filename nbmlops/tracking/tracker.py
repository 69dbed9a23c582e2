"""``nm.track``: a run around a block or a function."""

from __future__ import annotations

import functools
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar, overload

from nbmlops._hashing import code_hash
from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.store import Store
from nbmlops.tracking.origin import keep_running_code
from nbmlops.tracking.record import OpenRun, open_run

F = TypeVar("F", bound=Callable[..., Any])


class Tracker:
    """A run that opens with a block, or with each call of a function."""

    def __init__(
        self, name: str | None, *, source: str | None = None, **options: Any
    ) -> None:
        self._name = name
        self._source = source
        self._options = options
        self._open: list[OpenRun] = []

    def __enter__(self) -> OpenRun:
        source = self._source
        if source is None:  # the cell or the script that holds the block
            caller = sys._getframe(1).f_code.co_filename
            source = "".join(linecache.getlines(caller))
        tags = {"nbmlops.code_hash": code_hash([source])}
        given = {**self._options, "tags": tags | dict(self._options["tags"] or {})}
        run = open_run(name=self._name or "run", **given)
        self._open.append(run)
        return run

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        frames = traceback.extract_tb(trace)
        because = (
            f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
        )
        run, problem = self._open.pop(), None
        try:
            keep_running_code(run, params=self._options["params"] or ())
        except NbmlopsError as failure:
            problem = failure
        run.close(error or problem, because=because)
        if problem is not None and error is None:
            raise problem

    def __call__(self, function: F) -> F:
        """Return the function, each call of which is a run with its arguments."""
        signature = inspect.signature(function)
        source = _source_of(function)

        def around(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tracker:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            params = {
                key: value
                for key, value in bound.arguments.items()
                if isinstance(value, str | int | float | bool | None)
            }
            given = self._options.get("params") or {}
            options = {**self._options, "params": {**params, **given}}
            name = self._name or function.__name__
            return Tracker(name, source=source, **options)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def tracked_async(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
                with around(args, kwargs):
                    return await function(*args, **kwargs)

            return tracked_async  # type: ignore[return-value]

        @functools.wraps(function)
        def tracked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with around(args, kwargs):
                return function(*args, **kwargs)

        return tracked  # type: ignore[return-value]


def _source_of(function: Callable[..., Any]) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt, or not written in Python
        return function.__qualname__


@overload
def track(name: F) -> F: ...
@overload
def track(
    name: str | None = None,
    *,
    experiment: str | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    store: Store | None = None,
) -> Tracker: ...
def track(
    name: Any = None,
    *,
    experiment: str | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    store: Store | None = None,
) -> Any:
    """Return a run for a ``with`` block or a decorator.

    Parameters
    ----------
    name : str or callable, optional
        The run's name; the function's name by default. Given a function, it is
        decorated: ``@nm.track``.
    experiment : str, optional
        The project's experiment by default.
    params : Mapping of str to object, optional
        Params known from the start; a decorated function adds its plain arguments.
    tags : Mapping of str to str, optional
        Tags of the run.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    Tracker
        Entering it opens the run and gives an `OpenRun`. It ends ``FAILED`` after an
        exception, ``KILLED`` after an interrupt, else ``FINISHED``.

    Raises
    ------
    UsageError
        ``name`` is neither a name nor a function.
    """
    options: dict[str, Any] = {
        "experiment": experiment,
        "params": params,
        "tags": tags,
        "store": store,
    }
    if callable(name):
        return Tracker(None, **options)(name)
    if name is not None and not isinstance(name, str):
        raise UsageError(
            f"A run's name is a text, not {name!r}.",
            fix='Write nm.track("baseline", params={...}).',
        )
    return Tracker(name, **options)
