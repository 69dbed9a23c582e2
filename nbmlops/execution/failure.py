"""Where and why the execution of a notebook ended, in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbmlops.errors import NotebookError
from nbmlops.execution.notebooks.notebook import INJECTED, PARAMETERS, tagged
from nbmlops.execution.outcome import ExecutionOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureMessage:
    """What is known of an execution that has ended."""

    ending: ExecutionOutcome
    source: Path
    notebook: Any
    executed: Any
    timeout_s: float | None
    cell_timeout_s: float | None = None

    def error(self, kept: str, *, run_id: str) -> NotebookError:
        """Return why the step failed."""
        index = self.ending.cell_index
        return NotebookError(
            self.problem,
            fix=f"See the executed notebook: {kept}.",
            notebook=str(self.source),
            cell_index=self._source_index(),
            source="" if index is None else self.executed.cells[index].source,
            traceback=self.ending.traceback,
            run_id=run_id,
            how=self.ending.how,
        )

    def _source_index(self) -> int | None:
        """Return where the cell it ended in stands in the notebook that was run."""
        index = self.ending.cell_index
        if index is None:
            return None
        cells = self.executed.cells
        if _is_injected(cells[index]):
            return tagged(self.notebook, PARAMETERS)
        before = sum(not _is_injected(cell) for cell in cells[:index])
        own = [n for n, c in enumerate(self.notebook.cells) if not _is_injected(c)]
        return own[before]

    @property
    def _was_in_cell_too_long(self) -> bool:
        index, limit_s = self.ending.cell_index, self.cell_timeout_s
        if index is None or limit_s is None:
            return False
        took_s = self.executed.cells[index].metadata.papermill.duration
        return bool(took_s and took_s >= limit_s)

    @property
    def problem(self) -> str:
        """One sentence on where and why it ended; "" when it came to its end."""
        name, reason, index = self.source.name, self.ending.reason, self._source_index()
        cell = "no cell" if index is None else f"cell {index}"
        match self.ending.how:
            case "raised":
                return f"In {cell} of {name}: {reason}."
            case "exited":
                return f"In {cell} of {name} the notebook was left by {reason}."
            case "timed out":
                if self._was_in_cell_too_long:
                    limit = f"{self.cell_timeout_s:g} seconds"
                    return f"{cell.capitalize()} of {name} did not end within {limit}."
                limit = f"{self.timeout_s:g} seconds"
                return f"{name} did not end within {limit}: it was in {cell}."
            case "died":
                return f"The kernel of {name} died in {cell}."
            case "interrupted":
                where = "before its first cell" if index is None else f"in {cell}"
                return f"{name} was interrupted {where}."
            case "given up":
                return f"{name} was {reason}."
            case "not started":
                return f"The kernel of {name} did not start: {reason}."
        return ""


def _is_injected(cell: Any) -> bool:  # noqa: ANN401
    return INJECTED in cell.metadata.get("tags", [])
