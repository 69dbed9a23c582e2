"""How far a sweep has come."""

from __future__ import annotations

import time
from collections.abc import Callable

from nbmlops.entities import Mode, StepReport, ranked


class Tally:
    """Counts what has ended, and says so."""

    def __init__(
        self,
        n_runs: int | None,
        metric: str | None,
        mode: Mode,
        say: Callable[[str], None],
    ) -> None:
        self._n_runs, self._metric, self._mode, self._say = n_runs, metric, mode, say
        self._counts: dict[str, int] = {}
        self._n_ran = 0
        self._began = time.monotonic()
        self.best: StepReport | None = None

    def add(self, report: StepReport, *, is_new: bool = True) -> None:
        """Count a run."""
        self._counts[report.state] = self._counts.get(report.state, 0) + 1
        if self._metric is not None:
            both = [each for each in (self.best, report) if each]
            best = ranked(both, self._metric, self._mode)
            self.best = best[0] if best else None
        self._n_ran += is_new and report.state != "cached"
        if is_new and report.state != "cached":
            self._say(str(self))

    def __str__(self) -> str:
        n = sum(self._counts.values())
        told = [f"{n} of {self._n_runs or '?'} ended"]
        told += [
            f"{self._counts[state]} {state}"
            for state in ("cached", "failed", "pruned", "stopped")
            if state in self._counts
        ]
        if self._n_runs and self._n_ran and n < self._n_runs:
            took_s = time.monotonic() - self._began
            left_s = took_s / self._n_ran * (self._n_runs - n)
            told.append(f"about {left_s:.0f} s left")
        if self.best is not None and self._metric is not None:
            value = self.best.metrics[self._metric]
            told.append(f"best {self._metric}={value:.4g} by {self.best.step}")
        return ", ".join(told)
