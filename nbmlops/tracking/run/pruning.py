"""Reports a metric for pruning.

A sweep that searches sets two variables for a notebook it runs. Each step of the metric
that they name is a line of the file that they name: the step and the value.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FILE = "NBMLOPS_WATCHED_FILE"
METRIC = "NBMLOPS_WATCHED_METRIC"


@dataclass(frozen=True, slots=True)
class PruningReporter:
    """Writes each step of a metric to a file."""

    file: str
    metric: str

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> PruningReporter | None:
        """Return the reporter that an environment asks for, or None."""
        file, metric = environ.get(FILE), environ.get(METRIC)
        return cls(file, metric) if file and metric else None

    def note(self, metrics: Mapping[str, float], step: int) -> None:
        """Write down the metric, where it is among these."""
        if self.metric not in metrics:
            return
        with suppress(OSError):  # the sweep has ended
            fd = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(fd, f"{step} {metrics[self.metric]!r}\n".encode())
            finally:
                os.close(fd)


def read_steps(file: Path, offset: int) -> tuple[list[tuple[int, float]], int]:
    """Return the steps that were written behind a place, and where they end."""
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            text = stream.read()
    except OSError:
        return [], offset
    whole = text[: text.rfind(b"\n") + 1]
    pairs = (line.split() for line in whole.decode().splitlines())
    return [(int(step), float(value)) for step, value in pairs], offset + len(whole)
