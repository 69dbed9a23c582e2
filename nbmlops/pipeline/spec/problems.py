"""What is wrong with a pipeline file, all of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nbmlops.errors import UsageError


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong."""

    line: int
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.problem}"


class PipelineFileError(UsageError):
    """A pipeline file that cannot be run."""

    def __init__(self, path: str, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        n = len(self.faults)
        head = f"{path} has {n} fault{'s' * (n > 1)}:"
        super().__init__(
            "\n".join([head, *(f"  {fault}" for fault in self.faults)]),
            fix=f"Fix {'them' if n > 1 else 'it'} in {path}; nothing was run.",
        )
