"""How, where and why the execution of a notebook ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Literal

from nbmlops.entities import RunStatus
from nbmlops.execution.notebooks.notebook import INJECTED, PARAMETERS, tagged

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
class StepResult:
    """What a step came to.

    Attributes
    ----------
    run_id : str
        The step's run.
    status : RunStatus
        ``FINISHED``: any other end is raised.
    notebook : str
        Path of the notebook that was run; it is as it was.
    output : str or None
        Path of the executed notebook, where one was asked for.
    duration_s : float
        Seconds from the call to the end of the run.
    run_ids : tuple of str
        Runs that the notebook's cells made, the oldest first.
    notes : tuple of str
        What the store has not taken yet, and where it is kept.
    values : Mapping of str to object
        What its cells emitted.
    """

    run_id: str
    status: RunStatus
    notebook: str
    output: str | None
    duration_s: float
    run_ids: tuple[str, ...]
    notes: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


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

    def outcome(
        self,
        cell: Any,  # noqa: ANN401
        index: int | None,
        log: IO[bytes] | None,
    ) -> ExecutionOutcome:
        """Return it as an outcome, with the traceback of its cell or the log's end."""
        traceback = "" if index is None else _traceback_of(cell)
        if self.how in ("died", "not started") and log is not None:
            traceback = traceback or log_tail(log)
        return ExecutionOutcome(
            how=self.how,
            cell_index=index,
            reason=_ANSI.sub("", str(self)).strip().partition("\n")[0],
            traceback=traceback,
        )


def _traceback_of(cell: Any) -> str:  # noqa: ANN401
    errors = [o for o in cell.get("outputs", []) if o.output_type == "error"]
    return _ANSI.sub("", "\n".join(errors[-1].traceback)) if errors else ""


def log_tail(file: IO[bytes]) -> str:
    """Return the end of what a kernel wrote to its streams."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 100_000))
    lines = _ANSI.sub("", file.read().decode(errors="replace")).splitlines()
    said = [line for line in lines if not re.search("WARNING|^Extension modules", line)]
    return "\n".join(said)[-4000:].strip()


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
