"""``nm.track``: a run around a block or a function."""

from __future__ import annotations

import functools
import inspect
import linecache
import logging
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable, Mapping
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from nbmlops._hashing import code_hash
from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.store import Store
from nbmlops.tracking.provenance.opened_files import enter_block, leave_block
from nbmlops.tracking.resources.budget import (
    BudgetWatchdog,
    RunKilled,
    RunKilledForGood,
    parse_budget,
    stack,
)
from nbmlops.tracking.run.active import ActiveRun
from nbmlops.tracking.run.capture import DataNames, data_names
from nbmlops.tracking.run.failures import Failures
from nbmlops.tracking.run.start import open_run

if TYPE_CHECKING:
    from nbmlops.tracking.autolog import Recorder

_log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


class TrackContext:
    """A run that opens with a block, or with each call of a function."""

    def __init__(
        self, name: str | None, *, source: str | None = None, **options: Any
    ) -> None:
        self._name = name
        self._source = source
        self._has_autolog = bool(options.pop("autolog", False))
        self._options = options
        self._open: list[tuple[ActiveRun, BudgetWatchdog | None, Recorder | None]] = []

    def __enter__(self) -> ActiveRun:
        guard = self._guard(sys._getframe(1))
        source = self._source
        if source is None:  # the cell or the script that holds the block
            caller = sys._getframe(1).f_code.co_filename
            source = "".join(linecache.getlines(caller))
        tags = {"nbmlops.code_hash": code_hash([source])}
        given = {**self._options, "tags": tags | dict(self._options["tags"] or {})}
        given.pop("budget")
        run = open_run(name=self._name or "run", **given)
        recorder = None
        if self._has_autolog:
            from nbmlops.tracking.autolog import Recorder

            recorder = Recorder()
            recorder.start()
        self._open.append((run, guard, recorder))
        if guard:
            guard.enter(run.usage.memory)
        enter_block()
        return run

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        leave_block()
        frames = traceback.extract_tb(trace)
        because = (
            f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
        )
        run, guard, recorder = self._open.pop()
        reason = guard.leave() if guard else None
        problem: NbmlopsError | None = None
        try:
            failures = Failures()
            if recorder:
                recorder.stop()
                frame = sys._getframe(1)
                with failures.caught("what was fitted"):
                    _log_fits(run, recorder, frame, has_models=error is None)
            from nbmlops.tracking.provenance.provenance import keep_running_code

            with failures.caught("the code"):
                keep_running_code(run, params=self._options["params"] or ())
            failures.log(run)
            for note in failures.notes:
                _log.warning("run %s: %s", run.name, note)
        except NbmlopsError as failure:
            problem = failure
        except BaseException as failure:
            run.close(error or failure)
            raise
        if reason is None:
            run.close(error or problem, because=because)
            if problem is not None and error is None:
                raise problem
            return
        run.log_tags({"nbmlops.ended_because": reason})
        run.close(status="KILLED")
        if error is None:
            raise RunKilled(reason)
        if not isinstance(error, RunKilled | RunKilledForGood):
            error.add_note(reason)

    def _guard(self, frame: FrameType) -> BudgetWatchdog | None:
        budget = self._options["budget"]
        if budget is None:
            return None
        owner: FrameType | None = frame
        while owner is not None and owner.f_globals.get("__name__") == "contextlib":
            owner = owner.f_back  # an ExitStack's, which does not last

        # What is raised inside of these would leave the run open and the guard on.
        own = {type(self).__enter__.__code__, type(self).__exit__.__code__}

        def is_code(frame: FrameType | None) -> bool:
            frames = stack(frame)
            if any(each.f_code in own for each in frames):
                return False
            return guard.before is signal.default_int_handler or owner in frames

        guard = BudgetWatchdog(budget, is_code=is_code)
        return guard

    def __call__(self, function: F) -> F:
        """Return the function, each call of which is a run with its arguments."""
        signature = inspect.signature(function)
        source = _source_of(function)

        def around(args: tuple[Any, ...], kwargs: dict[str, Any]) -> TrackContext:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            params = {
                key: value
                for key, value in bound.arguments.items()
                if isinstance(value, str | int | float | bool | None)
            }
            given = self._options.get("params") or {}
            options = {**self._options, "params": {**params, **given}}
            options["autolog"] = self._has_autolog
            name = self._name or function.__name__
            return TrackContext(name, source=source, **options)

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


def _log_fits(
    run: ActiveRun, recorder: Recorder, frame: FrameType, *, has_models: bool
) -> None:
    from nbmlops.tracking.autolog import log_fits, log_model

    namespace = {**frame.f_globals, **frame.f_locals}
    data = DataNames(
        given=data_names(_code_of(frame)).given,
        read=frame.f_code.co_names + frame.f_code.co_varnames,
    )
    notes = log_fits(run, recorder, namespace, data, has_models=has_models)
    fitted = [fit.estimator for fit in recorder.fits if fit.is_model]
    if has_models and run.model_id is None and any(e is not None for e in fitted[-1:]):
        notes += log_model(run, fitted[-1], namespace, data)
    for note in notes:
        _log.info("run %s: %s", run.name, note)


def _code_of(frame: FrameType) -> str:
    try:
        return textwrap.dedent(inspect.getsource(frame.f_code))
    except (OSError, TypeError):
        return ""


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
    budget: str | Iterable[str] = (),
    autolog: bool = False,
) -> TrackContext: ...
def track(
    name: Any = None,
    *,
    experiment: str | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    store: Store | None = None,
    budget: str | Iterable[str] = (),
    autolog: bool = False,
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
    budget : str or iterable of str, optional
        A time such as ``90s``, memory such as ``2GB``, or both: when it is used up, the
        block is interrupted, in the main thread, and the run ends ``KILLED``.
    autolog : bool, default=False
        Whether to record the scikit-learn models that are fitted in it, as a tracked
        cell does.

    Returns
    -------
    Tracker
        Entering it opens the run and gives an `ActiveRun`. It ends ``FAILED`` after an
        exception, ``KILLED`` after an interrupt, else ``FINISHED``.

    Raises
    ------
    UsageError
        ``name`` is neither a name nor a function, or a budget is none.
    """
    options: dict[str, Any] = {
        "experiment": experiment,
        "params": params,
        "tags": tags,
        "store": store,
        "budget": parse_budget(budget),
        "autolog": autolog,
    }
    if callable(name):
        return TrackContext(None, **options)(name)
    if name is not None and not isinstance(name, str):
        raise UsageError(
            f"A run's name is a text, not {name!r}.",
            fix='Write nm.track("baseline", params={...}).',
        )
    return TrackContext(name, **options)
