"""How far a notebook that is executed has come, cell by cell."""

from __future__ import annotations

from typing import Any

from nbmlops._masking import mask
from nbmlops.entities import CellProgress
from nbmlops.execution.cell_status import ExecutionObserver
from nbmlops.execution.outcome import is_to_run
from nbmlops.execution.progress.writer import OnProgress

_LONGEST = 80


class Follower:
    """Reports each cell that begins and forwards to the notebook's observer."""

    def __init__(
        self,
        notebook: Any,  # noqa: ANN401
        tell: OnProgress,
        keeper: ExecutionObserver | None = None,
        *,
        expected_s: float | None = None,
    ) -> None:
        self._cells = [
            (index, cell)
            for index, cell in enumerate(notebook.cells)
            if is_to_run(cell)
        ]
        self._tell, self._keeper = tell, keeper
        self._n_done = 0
        self._expected_s = expected_s

    def begin(self) -> None:
        """Tell that there is a process to come, for the first cell."""
        if self._keeper is not None:
            self._keeper.begin()
        self._say("")

    def begin_cell(self, index: int) -> None:
        """Tell that the first cell begins; of the others was told by then."""
        if self._keeper is not None:
            self._keeper.begin_cell(index)
        if self._cells and index == self._cells[0][0]:
            self._say(self._cells[0][1].source)

    def keep_cell(self, index: int) -> None:
        """Tell that the cell behind this one is next."""
        self._n_done = sum(at <= index for at, _ in self._cells)
        if self._keeper is not None:
            self._keeper.keep_cell(index)
        is_last = self._n_done == len(self._cells)
        self._say("" if is_last else self._cells[self._n_done][1].source)

    def keep(self) -> None:
        """Pass on that a cell has said something."""
        if self._keeper is not None:
            self._keeper.keep()

    def _say(self, source: str) -> None:
        n = len(self._cells)
        line = next((x for x in source.splitlines() if x.strip()), "")
        cell = mask(line.strip())[:_LONGEST]
        self._tell(
            CellProgress(
                n_done=self._n_done, n_cells=n, cell=cell, expected_s=self._expected_s
            )
        )
