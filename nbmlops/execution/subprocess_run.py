"""A notebook run by a process that has loaded all it takes, for one that has not.

To load MLflow takes a shell command longer than to run a notebook. The processes that
workers of pipelines are forked from have loaded it.
"""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbmlops.engines.local import TICK_S, Process
from nbmlops.entities import CellProgress
from nbmlops.errors import NbmlopsError, NotebookError
from nbmlops.execution.cell_status import OnProgress
from nbmlops.execution.interrupts import terminable
from nbmlops.execution.outcome import StepResult
from nbmlops.forkserver.runtime_dir import ForkUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookTask:
    """A notebook to run."""

    path: str
    options: Mapping[str, Any]


def run_in_subprocess(
    path: str | Path,
    *,
    worker: str,
    on_progress: OnProgress,
    cold: bool = False,
    **options: Any,
) -> StepResult:
    """Run a notebook as `run_notebook` does, in a fork where there is one."""
    with terminable():
        process = None if cold else _forked(worker)
        if process is None:
            from nbmlops.execution.run import run_notebook

            return run_notebook(path, on_progress=on_progress, cold=cold, **options)
        try:
            process.submit(NotebookTask(path=str(path), options=options))
            answer = _wait(process, on_progress)
        finally:
            how = process.close()
    if isinstance(answer, NbmlopsError):
        raise answer
    if not isinstance(answer, StepResult):
        raise NotebookError(
            f"The process that ran {str(path)!r} ended: {how}.",
            fix="Run it again; `nbmlops doctor --fix` ends the run it has left.",
            notebook=str(path),
            how="died",
        )
    return answer


def _forked(worker: str) -> Process | None:
    with suppress(ForkUnavailable):
        return Process(worker, {}, must_fork=True)
    return None


def _wait(process: Process, on_progress: OnProgress) -> object:
    """Return the answer, None when there is none; what comes before is progress."""
    interrupt: KeyboardInterrupt | None = None
    while True:
        try:
            if not process.wait(TICK_S):
                continue
            found = process.answer()
            if not isinstance(found, CellProgress):
                break
            on_progress(found)
        except KeyboardInterrupt as error:
            # Said twice, or by a signal to go away, it is not to take long.
            is_first = interrupt is None and not error.args
            (process.interrupt if is_first else process.stop)()
            interrupt = interrupt or error
    if interrupt is not None:
        raise interrupt
    return found


def run_notebook_task(
    task: NotebookTask, report: Callable[[object], None]
) -> StepResult | NbmlopsError | None:
    """Run a notebook, in the process that was forked for it."""
    from nbmlops.execution.run import run_notebook

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run_notebook(task.path, on_progress=report, **task.options)
    except NbmlopsError as error:
        error.add_note("".join(traceback.format_exception(error)))
        return error
    except KeyboardInterrupt:
        return None
    finally:
        signal.signal(signal.SIGINT, before)
