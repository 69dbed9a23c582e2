"""How the execution of a notebook ended."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from typing import Any, Literal

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")

How = Literal[
    "finished",
    "raised",
    "exited",
    "timed out",
    "died",
    "interrupted",
    "given up",
    "not started",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionOutcome:
    """How the execution of a notebook ended."""

    how: How
    cell_index: int | None = None
    reason: str = ""
    traceback: str = ""


class ExecutionStopped(Exception):  # noqa: N818 - not an error of the notebook
    """The notebook is not to go on."""

    def __init__(self, how: How, reason: str = "") -> None:
        super().__init__(reason)
        self.how = how


class TimeLimit:
    """The time that a notebook and each of its cells may take, and whether to stop."""

    def __init__(self, timeout_s: float | None, cell_timeout_s: float | None) -> None:
        self.is_stopped = False
        self._timeout_s, self._cell_timeout_s = timeout_s, cell_timeout_s
        self._end = self._cell_end = math.inf

    def start(self) -> None:
        """Begin to count the time of the notebook."""
        if self._timeout_s is not None:
            self._end = time.monotonic() + self._timeout_s

    def start_cell(self) -> None:
        """Begin to count the time of a cell."""
        self.check()
        if self._cell_timeout_s is not None:
            self._cell_end = time.monotonic() + self._cell_timeout_s

    def check(self) -> float | None:
        """Return the seconds left, None without a limit; raise when there are none."""
        if self.is_stopped:
            raise ExecutionStopped("interrupted")
        left_s = min(self._end, self._cell_end) - time.monotonic()
        if left_s <= 0:
            raise ExecutionStopped("timed out")
        return None if left_s == math.inf else left_s


def first_line(text: str) -> str:
    """Return the first line of a text, without colour codes."""
    return _ANSI.sub("", text).strip().partition("\n")[0]


def traceback_of(cell: Any) -> str:  # noqa: ANN401
    """Return the traceback among a cell's outputs, or ""."""
    errors = [o for o in cell.get("outputs", []) if o.output_type == "error"]
    return _ANSI.sub("", "\n".join(errors[-1].traceback)) if errors else ""


def log_tail(file: Any) -> str:  # noqa: ANN401
    """Return the end of what a kernel wrote to its streams."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 100_000))
    lines = _ANSI.sub("", file.read().decode(errors="replace")).splitlines()
    said = [line for line in lines if not re.search("WARNING|^Extension modules", line)]
    return "\n".join(said)[-4000:].strip()


def is_to_run(cell: Any) -> bool:  # noqa: ANN401
    """Return whether a kernel is asked to run a cell."""
    is_code = cell["cell_type"] == "code" and bool(cell["source"].strip())
    return is_code and not is_skipped(cell)


def is_skipped(cell: Any) -> bool:  # noqa: ANN401
    """Return whether a cell says that it is not to be run."""
    tags = cell["metadata"].get("tags", [])
    return cell["cell_type"] == "code" and "skip-execution" in tags
