"""What a search has asked for so far, so that the same command goes on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nbmlops.execution.file_hashes import read_record, write_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A run that a search has asked for."""

    number: int
    params: dict[str, Any]
    state: str = "running"
    steps: dict[int, float] = field(default_factory=dict)
    why: str = ""
    run_id: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def is_pruned(self) -> bool:
        """Whether it was given up, and so is not to run again."""
        return self.state == "pruned" and bool(self.steps)


class SearchHistory:
    """The runs of a search in a file; an unreadable file starts a new search."""

    def __init__(self, path: Path | None, *, is_new: bool = False) -> None:
        self._path = path
        self.trials: list[Remembered] = []
        found = None if path is None or is_new else read_record(path)
        with suppress(TypeError, ValueError, KeyError, AttributeError):
            self.trials = [
                Remembered(**each | {"steps": _by_step(each["steps"])})
                for each in found or ()
            ]
        if [each.number for each in self.trials] != list(range(len(self.trials))):
            self.trials = []

    def note(self, trial: Remembered) -> None:
        """Remember a run, in place of what was known of it."""
        if trial.number < len(self.trials):
            self.trials[trial.number] = trial
        else:
            self.trials.append(trial)
        if self._path is not None:
            with suppress(OSError):  # the search itself goes on
                write_record(self._path, [asdict(each) for each in self.trials])


def _by_step(steps: dict[str, float]) -> dict[int, float]:
    return {int(step): value for step, value in steps.items()}
