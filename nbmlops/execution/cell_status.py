"""The status of each cell of a notebook that runs, in papermill's metadata."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from nbmlops.execution.outcome import is_skipped


class ExecutionObserver:
    """Is called while a notebook is executed; does nothing by itself."""

    def on_start(self) -> None:
        """Take note that its process is to be started."""

    def on_cell_start(self, index: int) -> None:
        """Take note of a cell that is given to its process next."""

    def on_cell_end(self, index: int) -> None:
        """Take note of a cell that has ended."""

    def on_output(self) -> None:
        """Take note that a cell has said something."""


class CellStatus:
    """Papermill's record of the cells, without its guess that all went well.

    It has those methods of papermill's ``NotebookExecutionManager`` that are called.
    """

    def __init__(
        self,
        notebook: Any,  # noqa: ANN401
        observers: Sequence[ExecutionObserver] = (),
    ) -> None:
        self.nb = notebook
        self._observers = observers
        self._started_at = self._cell_started_at = datetime.now(UTC)

    def notebook_start(self) -> None:
        """Take the outputs and states of an earlier run out of the notebook."""
        self._started_at = datetime.now(UTC)
        unknown = {"start_time": None, "end_time": None, "duration": None}
        self.nb.metadata.papermill.update(
            {**unknown, "start_time": self._started_at.isoformat(), "exception": None}
        )
        for cell in self.nb.cells:
            if cell.cell_type == "code":
                cell.execution_count = None
                cell.outputs = []
            cell.metadata["papermill"] = {
                "exception": None,
                **unknown,
                "status": "pending",
            }
        for observer in self._observers:
            observer.on_start()

    def cell_passed(self, cell: Any, index: int) -> None:  # noqa: ANN401
        """Note that there is nothing to run in a cell, unless it was to be skipped."""
        if not is_skipped(cell):
            self.cell_start(cell, index)
            self.cell_complete(cell, index)

    def cell_start(self, cell: Any, index: int) -> None:  # noqa: ANN401
        """Note that a cell begins."""
        self._cell_started_at = datetime.now(UTC)
        cell.metadata.papermill.update(
            start_time=self._cell_started_at.isoformat(),
            status="running",
            exception=False,
        )
        for observer in self._observers:
            observer.on_cell_start(index)

    def cell_exception(self, cell: Any, _index: int | None = None) -> None:  # noqa: ANN401
        """Note that the notebook ends in a cell."""
        cell.metadata.papermill.update(exception=True, status="failed")
        self.nb.metadata.papermill["exception"] = True

    def cell_complete(self, cell: Any, index: int) -> None:  # noqa: ANN401
        """Note that a cell has ended."""
        ended_at = datetime.now(UTC)
        record = cell.metadata.papermill
        record["end_time"] = ended_at.isoformat()
        record["duration"] = (ended_at - self._cell_started_at).total_seconds()
        if record["status"] != "failed":
            record["status"] = "completed"
        for observer in self._observers:
            observer.on_cell_end(index)

    def autosave_cell(self) -> None:
        """Note that a cell has said something."""
        for observer in self._observers:
            observer.on_output()

    def notebook_complete(self) -> None:
        """Note that the notebook has ended; what has not run stays ``pending``."""
        ended_at = datetime.now(UTC)
        self.nb.metadata.papermill.update(
            end_time=ended_at.isoformat(),
            duration=(ended_at - self._started_at).total_seconds(),
        )
