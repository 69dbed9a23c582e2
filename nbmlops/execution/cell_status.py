"""The status of each cell of a notebook that runs, and what observes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from nbmlops._masking import mask
from nbmlops.entities import CellProgress

_LONGEST = 80
OnProgress = Callable[[CellProgress], None]
"""Given how far a notebook has come, at its start and whenever a cell begins."""


class ExecutionObserver:
    """Is called while a notebook is executed; does nothing by itself."""

    def on_start(self) -> None:
        """Take note that its process is to be started."""

    def on_cell_start(self, index: int) -> None:
        """Take note of a cell that is given to its process next."""

    def on_cell_end(self, index: int) -> None:
        """Take note of a cell that has ended."""

    def on_output(self, output: Any) -> None:  # noqa: ANN401
        """Take note of an output of the cell that runs; None changes one that was."""


class ProgressObserver(ExecutionObserver):
    """Reports each cell that begins."""

    def __init__(
        self,
        notebook: Any,  # noqa: ANN401
        report: OnProgress,
        *,
        expected_s: float | None = None,
    ) -> None:
        self._cells = [
            (index, cell)
            for index, cell in enumerate(notebook.cells)
            if is_to_run(cell)
        ]
        self._report = report
        self._expected_s = expected_s

    def on_start(self) -> None:
        """Report that there is a process to come, for the first cell."""
        self._report_cell(0, "")

    def on_cell_start(self, index: int) -> None:
        """Report that the first cell begins; the others are reported by then."""
        if self._cells and index == self._cells[0][0]:
            self._report_cell(0, self._cells[0][1].source)

    def on_cell_end(self, index: int) -> None:
        """Report that the cell behind this one is next."""
        n_done = sum(at <= index for at, _ in self._cells)
        is_last = n_done == len(self._cells)
        self._report_cell(n_done, "" if is_last else self._cells[n_done][1].source)

    def _report_cell(self, n_done: int, source: str) -> None:
        line = next((x for x in source.splitlines() if x.strip()), "")
        self._report(
            CellProgress(
                n_done=n_done,
                n_cells=len(self._cells),
                cell=mask(line.strip())[:_LONGEST],
                expected_s=self._expected_s,
            )
        )


class CellStatus:
    """Papermill's record of the cells, without its guess that all went well."""

    def __init__(
        self,
        notebook: Any,  # noqa: ANN401
        observers: Sequence[ExecutionObserver],
    ) -> None:
        self._notebook, self._observers = notebook, observers

    @contextmanager
    def notebook(self) -> Iterator[None]:
        """Take an earlier run's outputs away; what does not run stays ``pending``."""
        began_at = datetime.now(UTC)
        unknown = {"start_time": None, "end_time": None, "duration": None}
        record = self._notebook.metadata.papermill
        record.update(unknown | {"start_time": began_at.isoformat(), "exception": None})
        for cell in self._notebook.cells:
            if cell.cell_type == "code":
                cell.execution_count = None
                cell.outputs = []
            status = {"exception": None, **unknown, "status": "pending"}
            cell.metadata["papermill"] = status
        for observer in self._observers:
            observer.on_start()
        try:
            yield
        finally:
            _note_end(record, began_at)

    @contextmanager
    def cell(self, index: int) -> Iterator[None]:
        """Note that a cell begins, and how it ends: failed when it raises."""
        began_at = datetime.now(UTC)
        record = self._notebook.cells[index].metadata.papermill
        record.update(
            start_time=began_at.isoformat(), status="running", exception=False
        )
        for observer in self._observers:
            observer.on_cell_start(index)
        try:
            yield
            record["status"] = "completed"
        except BaseException:
            record.update(exception=True, status="failed")
            self._notebook.metadata.papermill["exception"] = True
            raise
        finally:
            _note_end(record, began_at)
            for observer in self._observers:
                observer.on_cell_end(index)

    def note_output(self, output: Any) -> None:  # noqa: ANN401
        """Note an output of the cell that runs."""
        for observer in self._observers:
            observer.on_output(output)


def _note_end(record: Any, began_at: datetime) -> None:  # noqa: ANN401
    ended_at = datetime.now(UTC)
    record["end_time"] = ended_at.isoformat()
    record["duration"] = (ended_at - began_at).total_seconds()


def is_to_run(cell: Any) -> bool:  # noqa: ANN401
    """Return whether a kernel is asked to run a cell."""
    is_code = cell["cell_type"] == "code" and bool(cell["source"].strip())
    return is_code and not is_skipped(cell)


def is_skipped(cell: Any) -> bool:  # noqa: ANN401
    """Return whether a cell says that it is not to be run."""
    tags = cell["metadata"].get("tags", [])
    return cell["cell_type"] == "code" and "skip-execution" in tags
