"""A task as a Dask worker has it done: by a process of its own, once."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import wait

from nbmlops.engines.local import Process
from nbmlops.engines.preflight import Preflight, find_fault, look

_TICK_S = 0.5


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
    sight: Preflight
    is_store_here: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an errand."""

    answer: bytes | None = None
    words: str = ""
    was_late: bool = False


def do(errand: DaskTask) -> Outcome:
    """Do an errand, in a thread of a Dask worker, unless another has begun it.

    Dask gives the tasks of a worker that is gone to another one. Whether they are to be
    done again is for who sent them to say.
    """
    from distributed import Event, get_worker

    fault = find_fault(
        errand.sight, look(errand.mark), is_store_here=errand.is_store_here
    )
    worker = get_worker()
    if fault is not None:
        return Outcome(words=f"Dask worker {worker.address} was refused: {fault[0]}")
    began = Event(errand.key)
    if began.is_set():
        return Outcome(words="the Dask worker that had begun it is gone")
    began.set()
    here = Event(began_at(errand.key, worker.address))
    here.set()
    stop = Event(stop_of(errand.key))
    process = Process(errand.module, errand.env, folder=errand.folder)
    words = ""
    try:
        process.give(pickle.loads(errand.task), limit_s=errand.limit_s)  # noqa: S301 - our own
        while not wait([process.fileno()], _TICK_S):
            known = worker.state.tasks.get(errand.key)
            if known is None or known.state == "cancelled" or stop.is_set():
                process.stop()
            process.look_at_clock()
        answer = process.answer()
        here.clear()
    except OSError:  # the scheduler is gone, and with it who waits
        answer = None
        process.stop()
    finally:
        words = process.close()
    return Outcome(
        answer=None if answer is None else pickle.dumps(answer),
        words=words,
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
    """Return the name of what is set when a worker has begun an errand."""
    return f"{key} at {address}"


def stop_of(key: str) -> str:
    """Return the name of what is set when an errand is to be stopped."""
    return f"{key} stop"
