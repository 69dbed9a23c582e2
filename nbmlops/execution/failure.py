"""Where and why the execution of a notebook ended, in words."""

from __future__ import annotations

from typing import Any

from nbmlops.execution.notebooks.notebook import INJECTED, PARAMETERS, tagged
from nbmlops.execution.outcome import ExecutionOutcome


def failure_message(
    outcome: ExecutionOutcome,
    name: str,
    index: int | None,
    *,
    timeout_s: float | None,
    cell_timeout_s: float | None,
) -> str:
    """Return one sentence on where and why a notebook ended; "" when it was done.

    ``cell_timeout_s`` is None unless the cell took longer than that.
    """
    cell = "no cell" if index is None else f"cell {index}"
    match outcome.how:
        case "raised":
            return f"In {cell} of {name}: {outcome.reason}."
        case "exited":
            return f"In {cell} of {name} the notebook was left by {outcome.reason}."
        case "timed out" if cell_timeout_s is not None:
            limit = f"{cell_timeout_s:g} seconds"
            return f"{cell.capitalize()} of {name} did not end within {limit}."
        case "timed out":
            limit = f"{timeout_s:g} seconds"
            return f"{name} did not end within {limit}: it was in {cell}."
        case "died":
            return f"The kernel of {name} died in {cell}."
        case "interrupted":
            where = "before its first cell" if index is None else f"in {cell}"
            return f"{name} was interrupted {where}."
        case "given up":
            return f"{name} was {outcome.reason}."
        case "not started":
            return f"The kernel of {name} did not start: {outcome.reason}."
    return ""


def source_index(index: int | None, executed: Any, notebook: Any) -> int | None:  # noqa: ANN401
    """Return where a cell of an executed notebook is in the one that was read."""
    if index is None:
        return None
    if _is_injected(executed.cells[index]):
        return tagged(notebook, PARAMETERS)
    before = sum(not _is_injected(cell) for cell in executed.cells[:index])
    own = [n for n, cell in enumerate(notebook.cells) if not _is_injected(cell)]
    return own[before]


def _is_injected(cell: Any) -> bool:  # noqa: ANN401
    return INJECTED in cell.metadata.get("tags", [])
