"""What is begun again, and when."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter
from collections.abc import Iterator

from nbmlops.entities import Step
from nbmlops.pipeline.runner.step_runs import Decision

_LONGEST_WAIT_S = 60.0


class Retries:
    """Counts attempts, and keeps the step runs that wait for another one."""

    def __init__(self) -> None:
        self._attempts: Counter[str] = Counter()
        self._later: list[tuple[float, int, Decision]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._later)

    @property
    def wait_s(self) -> float:
        """Seconds until one is due; infinite when none waits."""
        if not self._later:
            return float("inf")
        return max(0.0, self._later[0][0] - time.monotonic())

    def count(self, name: str) -> None:
        """Count an attempt of a step run."""
        self._attempts[name] += 1

    def n_attempts(self, name: str) -> int:
        """Return how often a step run was begun."""
        return self._attempts[name]

    def pause_s(self, step: Step, name: str, failure: str) -> float | None:
        """Return the seconds before a step run may be begun again, or None."""
        n = self._attempts[name]
        known = {"error"} if step.once else {*step.retry_on}
        if n > step.retries or failure not in known.intersection(step.retry_on):
            return None
        return min(step.retry_wait_s * 2.0 ** (n - 1), _LONGEST_WAIT_S)

    def put(self, decision: Decision, pause_s: float) -> None:
        """Keep a step run until it may be begun again."""
        at = time.monotonic() + pause_s
        heapq.heappush(self._later, (at, next(self._numbers), decision))

    def pop_due(self) -> Iterator[Decision]:
        """Yield those that may be begun now, and keep them no longer."""
        while self._later and self._later[0][0] <= time.monotonic():
            yield heapq.heappop(self._later)[2]
