"""Predictions for the requests of one event loop, those that wait together in one call.

Rows that wait in the same turn of the loop are predicted at once, which costs little
more than one of them. A fast call is made on the loop, a slow one in a thread.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np

from nbmlops.scoring.answer import write_answer
from nbmlops.scoring.request import Table
from nbmlops.scoring.rows import to_rows
from nbmlops.serving.model import ServedModel

_MOST_ROWS = 4096
_INLINE_S = 0.003
_WEIGHT = 0.2


@dataclass(slots=True, eq=False)
class Job:
    """Rows of one request, and what became of them; times by `time.perf_counter`."""

    rows: np.ndarray[Any, Any] | Table
    n_rows: int
    outputs: tuple[str, ...]
    done: Callable[[Job], None]
    begin: Callable[[], None] = lambda: None
    queued_at: float = 0.0
    begun_at: float = 0.0
    ended_at: float = 0.0
    batch_rows: int = 0
    results: dict[str, list[Any]] = field(default_factory=dict)
    error: Exception | None = None
    is_given_up: bool = False


class Scorer:
    """Predicts jobs by a model; `submit` returns at once, and ``job.done`` follows."""

    def __init__(
        self, model: ServedModel, *, is_batching: bool = True, n_threads: int = 1
    ) -> None:
        self._model = model
        self._most_rows = _MOST_ROWS if is_batching and model.is_batchable else 1
        self._waiting: deque[Job] = deque()
        self._n_running, self._n_threads = 0, n_threads
        self._executor: ThreadPoolExecutor | None = None
        self._is_scheduled = False
        self._call_s, self._row_s = model.call_s, 0.0
        self.unseen: Counter[str] = Counter()

    @property
    def n_waiting(self) -> int:
        """How many jobs have not begun."""
        return len(self._waiting)

    def submit(self, job: Job) -> None:
        """Predict a job with the others of this turn of the event loop."""
        job.queued_at = perf_counter()
        self._waiting.append(job)
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._is_scheduled = False
        while self._waiting and self._n_running < self._n_threads:
            jobs = self._next_batch()
            if not jobs:
                continue
            n_rows = sum(job.n_rows for job in jobs)
            if not self._n_running and self._estimate(n_rows) < _INLINE_S:
                self._predict(jobs)
                self._finish(jobs)
            else:
                self._begin_in_thread(jobs)

    def _begin_in_thread(self, jobs: list[Job]) -> None:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._n_threads, "predict")
        self._n_running += 1
        loop = asyncio.get_running_loop()

        def run() -> None:
            self._predict(jobs)
            loop.call_soon_threadsafe(self._end_in_thread, jobs)

        self._executor.submit(run)

    def _end_in_thread(self, jobs: list[Job]) -> None:
        self._n_running -= 1
        self._finish(jobs)
        self._begin()

    def _next_batch(self) -> list[Job]:
        """Return waiting jobs that one call can predict, in their order."""
        jobs: list[Job] = []
        n_rows = 0
        key: object = None
        while self._waiting:
            job = self._waiting[0]
            if job.is_given_up:
                self._waiting.popleft()
                continue
            its_key = _key(job)
            if jobs and (its_key != key or n_rows + job.n_rows > self._most_rows):
                break
            key = its_key
            n_rows += job.n_rows
            jobs.append(self._waiting.popleft())
        return jobs

    def _finish(self, jobs: list[Job]) -> None:
        first = jobs[0]
        took, n_rows = first.ended_at - first.begun_at, first.batch_rows
        if n_rows <= 8:
            known = self._call_s if math.isfinite(self._call_s) else took
            self._call_s = known + _WEIGHT * (took - known)
        elif math.isfinite(self._call_s):
            row_s = max(0.0, took - self._call_s) / n_rows
            self._row_s += _WEIGHT * (row_s - self._row_s)
        for job in jobs:
            job.done(job)

    def _estimate(self, n_rows: int) -> float:
        return self._call_s + n_rows * self._row_s

    def _predict(self, jobs: list[Job]) -> None:
        """Predict jobs in one call; each by itself where that fails."""
        begun = perf_counter()
        try:
            rows = jobs[0].rows if len(jobs) == 1 else _merged([j.rows for j in jobs])
            self._predict_rows(rows, jobs)
        except BaseException as error:  # noqa: BLE001 - it exits, or Rust panics
            if len(jobs) > 1:
                for job in jobs:
                    self._predict([job])
                return
            jobs[0].error = (
                error if isinstance(error, Exception) else RuntimeError(repr(error))
            )
        ended, n_rows = perf_counter(), sum(job.n_rows for job in jobs)
        for job in jobs:
            job.begun_at, job.ended_at, job.batch_rows = begun, ended, n_rows

    def _predict_rows(
        self, rows: np.ndarray[Any, Any] | Table, jobs: Sequence[Job]
    ) -> None:
        model = self._model
        taken = rows
        if isinstance(rows, Table):
            taken = to_rows(rows, model.spec, unseen=self.unseen)
        n_rows = sum(job.n_rows for job in jobs)
        for job in jobs:
            job.begin()
        for output in dict.fromkeys(name for job in jobs for name in job.outputs):
            predictions = as_list(model.function(output)(taken))
            if len(predictions) != n_rows:
                raise ValueError(
                    f"it predicts {len(predictions)} values for {n_rows} rows"
                )
            first = 0
            for job in jobs:
                if output in job.outputs:
                    job.results[output] = predictions[first : first + job.n_rows]
                first += job.n_rows

    def give_up(self, before: float) -> None:
        """Do not begin the jobs that have waited since before a moment."""
        for job in self._waiting:
            job.is_given_up = job.is_given_up or job.queued_at < before


def as_list(predictions: Any) -> list[Any]:  # noqa: ANN401 - what a model returns
    """Return predictions as JSON has them, one a row."""
    if isinstance(predictions, np.ndarray):
        found: list[Any] = predictions.tolist()
        is_text = predictions.dtype.kind == "O" and all(type(x) is str for x in found)
        if is_text or predictions.dtype.kind in "biufU":
            return found
    return json.loads(write_answer(predictions))["predictions"]  # type: ignore[no-any-return]


def _key(job: Job) -> object:
    """Return what is the same for jobs that can be merged."""
    rows = job.rows
    if isinstance(rows, np.ndarray):
        return "array"
    if rows.records is not None or rows.sparse is not None:
        return job
    return rows.names, rows.is_text, len(rows.columns)


def _merged(
    parts: Sequence[np.ndarray[Any, Any] | Table],
) -> np.ndarray[Any, Any] | Table:
    first = parts[0]
    if isinstance(first, np.ndarray):
        array: np.ndarray[Any, Any] = np.concatenate(parts)  # type: ignore[arg-type]
        return array
    columns = tuple(
        [value for part in parts for value in part.columns[i]]  # type: ignore[union-attr]
        for i in range(len(first.columns))
    )
    return replace(first, columns=columns)
