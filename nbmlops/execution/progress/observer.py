"""How far a notebook that is executed has come, cell by cell."""

from __future__ import annotations

from typing import Any

from nbmlops._masking import mask
from nbmlops.entities import CellProgress
from nbmlops.execution.cell_status import ExecutionObserver
from nbmlops.execution.outcome import is_to_run
from nbmlops.execution.progress.writer import OnProgress

_LONGEST = 80


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
        self._n_done = 0
        self._expected_s = expected_s

    def on_start(self) -> None:
        """Report that there is a process to come, for the first cell."""
        self._report_cell("")

    def on_cell_start(self, index: int) -> None:
        """Report that the first cell begins; the others are reported by then."""
        if self._cells and index == self._cells[0][0]:
            self._report_cell(self._cells[0][1].source)

    def on_cell_end(self, index: int) -> None:
        """Report that the cell behind this one is next."""
        self._n_done = sum(at <= index for at, _ in self._cells)
        is_last = self._n_done == len(self._cells)
        self._report_cell("" if is_last else self._cells[self._n_done][1].source)

    def _report_cell(self, source: str) -> None:
        line = next((x for x in source.splitlines() if x.strip()), "")
        self._report(
            CellProgress(
                n_done=self._n_done,
                n_cells=len(self._cells),
                cell=mask(line.strip())[:_LONGEST],
                expected_s=self._expected_s,
            )
        )
