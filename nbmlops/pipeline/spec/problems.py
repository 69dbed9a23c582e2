"""What is wrong with a pipeline file, all of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nbmlops.errors import UsageError


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class PipelineFileError(UsageError):
    """A pipeline file that cannot be run."""

    def __init__(self, path: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        n = len(self.problems)
        head = f"{path} has {n} problem{'s' * (n > 1)}:"
        super().__init__(
            "\n".join([head, *(f"  {each}" for each in self.problems)]),
            fix=f"Fix {'them' if n > 1 else 'it'} in {path}; nothing was run.",
        )
