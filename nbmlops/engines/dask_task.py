"""A task as a Dask worker has it done: by a process of its own, once."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nbmlops.engines.local import TICK_S, Process
from nbmlops.engines.preflight import Machine, find_problem, read_machine

GONE = "the Dask worker that had begun it is gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaskTask:
    """A task, and all that a Dask worker has to know to have it done."""

    key: str
    module: str
    env: Mapping[str, str]
    folder: str
    task: bytes
    limit_s: float | None
    mark: str
    machine: Machine
    is_store_here: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DaskReply:
    """The answer to a task, pickled; without one, how its process ended."""

    answer: bytes | None = None
    how: str = ""
    was_late: bool = False


def run_task(task: DaskTask) -> DaskReply:
    """Have a task done in a thread of a Dask worker, unless another has begun it.

    Dask gives the tasks of a worker that is gone to another one. Who submitted them
    decides whether they are run again.
    """
    from distributed import Event, get_worker

    here = read_machine(task.mark)
    problem = find_problem(task.machine, here, is_store_here=task.is_store_here)
    worker = get_worker()
    if problem is not None:
        return DaskReply(how=f"Dask worker {worker.address} was refused: {problem[0]}")
    began = Event(task.key)
    if began.is_set():
        return DaskReply(how=GONE)
    began.set()
    begun_here = Event(began_at(task.key, worker.address))
    begun_here.set()
    stop = Event(stop_of(task.key))
    process = Process(task.module, task.env, folder=task.folder)
    how = ""
    try:
        process.submit(pickle.loads(task.task), limit_s=task.limit_s)  # noqa: S301 - our own
        while not process.wait(TICK_S):
            known = worker.state.tasks.get(task.key)
            if known is None or known.state == "cancelled" or stop.is_set():
                process.stop()
        answer = process.answer()
        begun_here.clear()
    except OSError:  # the scheduler is gone, and with it who waits
        answer = None
        process.stop()
    finally:
        how = process.close()
    return DaskReply(
        answer=None if answer is None else pickle.dumps(answer),
        how=how,
        was_late=process.was_late,
    )


class _Call:
    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self._call = function, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def call(function: Callable[..., object], *args: object) -> bytes:
    """Return what calls a function when `pickle.loads` reads it.

    A Dask worker that cannot import a function it is sent loses its connection, and is
    waited for in vain; one that is sent `pickle.loads` can say what it lacks.
    """
    return pickle.dumps(_Call(function, *args))


def began_at(key: str, address: str) -> str:
    """Return the name of what is set when a worker has begun a task."""
    return f"{key} at {address}"


def stop_of(key: str) -> str:
    """Return the name of what is set when a task is to be stopped."""
    return f"{key} stop"
