"""How far a notebook that is executed has come, as a bar."""

from __future__ import annotations

from html import escape

from nbmlops.entities import CellProgress
from nbmlops.render.formats import format_duration
from nbmlops.render.tables import Renderable

_WIDTH = 20


class CellBar(Renderable):
    """A bar, the cells that have ended, the time, and the cell that runs.

    >>> progress = CellProgress(n_done=1, n_cells=4, cell="model.fit(X, y)")
    >>> CellBar(progress, 12)
    █████░░░░░░░░░░░░░░░ 1 of 4 cells · 12 s · model.fit(X, y)
    """

    def __init__(self, progress: CellProgress, elapsed_s: float) -> None:
        self._progress, self._elapsed_s = progress, elapsed_s

    def _words(self) -> str:
        cells, elapsed_s = self._progress, self._elapsed_s
        words = [f"{cells.n_done} of {cells.n_cells} cells", format_duration(elapsed_s)]
        left_s = (cells.expected_s or 0) - elapsed_s
        if cells.n_done < cells.n_cells and left_s > 0:
            words[-1] += f", about {format_duration(left_s)} left"
        return " · ".join([*words, *([cells.cell] if cells.cell else [])])

    def __repr__(self) -> str:
        cells = self._progress
        n = round(_WIDTH * cells.n_done / max(cells.n_cells, 1))
        return f"{'█' * n}{'░' * (_WIDTH - n)} {self._words()}"

    def _repr_html_(self) -> str:
        done, n_cells = self._progress.n_done, max(self._progress.n_cells, 1)
        bar = f'<progress value="{done}" max="{n_cells}"></progress>'
        return f"{bar} {escape(self._words())}"
