"""The cells that a kernel ran, from its start on, and where their notebook has them."""

from __future__ import annotations

import ast
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nbmlops.tracking.provenance.dataflow.syntax import parse
from nbmlops.tracking.provenance.magics import to_python
from nbmlops.tracking.provenance.opened_files import OF_BLOCKS, Opened

if TYPE_CHECKING:
    from nbmlops.tracking.provenance.dataflow.order import Effects
    from nbmlops.tracking.provenance.dataflow.state import AnalysisState


CellStatus = Literal["running", "finished", "raised", "interrupted", "unknown"]


@dataclass(slots=True, kw_only=True)
class ExecutedCell:
    """One execution of a cell."""

    source: str
    count: int
    cell_id: str | None = None
    at: float = 0.0
    ending: CellStatus = "running"
    expressions: tuple[str, ...] = ()
    opened: Opened = field(default_factory=dict)


class History:
    """Keeps what a shell runs."""

    def __init__(self, shell: Any) -> None:  # noqa: ANN401 - IPython is no import here
        self._shell = shell
        self.folder = Path.cwd()
        self.cells: list[ExecutedCell] = []
        self._state: AnalysisState | None = None
        self._codes: list[str] = []
        self._effects: list[Effects] = []
        manager = shell.history_manager
        raised = getattr(manager, "exceptions", None)  # IPython 9 has it
        for count, source in enumerate(manager.input_hist_raw[1:], start=1):
            if source.strip():
                self.begin(source, None, count=count)
                self.cells[-1].ending = (
                    "unknown"
                    if raised is None
                    else "raised"
                    if count in raised
                    else "finished"
                )
        if self.cells:
            self.cells[-1].ending = "running"  # the one that loads nbmlops

    def begin(
        self, source: str, cell_id: str | None, *, count: int | None = None
    ) -> None:
        """Note that a cell begins."""
        self.end(ending="unknown")  # its end was not seen
        count = count or len(self._shell.history_manager.input_hist_raw)
        self.cells.append(
            ExecutedCell(source=source, count=count, cell_id=cell_id, at=time.time())
        )

    def end(self, *, ending: CellStatus | None, count: int | None = None) -> None:
        """Note how the cell that is running ended."""
        if not self.cells or self.cells[-1].ending != "running":
            return
        if ending is None:
            self.cells.pop()
        else:
            self.cells[-1].ending = ending
            self.cells[-1].count = count or self.cells[-1].count

    def read(self) -> tuple[Sequence[str], Sequence[Effects]]:
        """Return the Python of all cells, and what they read and changed."""
        from nbmlops.config import find_project
        from nbmlops.tracking.provenance.dataflow.order import NOTHING
        from nbmlops.tracking.provenance.dataflow.state import AnalysisState

        if self._state is None:
            project = find_project(self.folder)
            self._state = AnalysisState(lambda name: is_local(name, project))
        for cell in self.cells[len(self._codes) :]:
            code = self._code(cell)
            if cell.ending == "running":  # always the last
                effects = self._state.read(code, is_running=True)
                return [*self._codes, code], [*self._effects, effects]
            effects = self._state.read(code, is_whole=cell.ending == "finished")
            if cell.ending == "raised" and parse(code) is None:
                effects = NOTHING
            self._codes.append(code)
            self._effects.append(effects)
        return self._codes, self._effects

    def _code(self, cell: ExecutedCell) -> str:
        """Return a cell as Python, with what was looked up as its last lines."""
        code = self._shell.transform_cell(cell.source)
        return "\n".join([code.rstrip("\n"), *(f"({e})" for e in cell.expressions)])


def is_local(name: str, project: Path) -> bool:
    """Return whether a loaded top level module is the project's own."""
    path = getattr(sys.modules.get(name), "__file__", None)
    if not path or name.partition(".")[0] == "nbmlops":
        return False
    return _is_own(os.path.abspath(path), project)  # noqa: PTH100 - follows no links


@lru_cache(4096)
def _is_own(path: str, project: Path) -> bool:
    file = Path(path)
    if file.is_relative_to(sys.prefix) or "site-packages" in file.parts:
        return False
    return file.is_relative_to(project)


def running_shell() -> Any:  # noqa: ANN401 - IPython is no import here
    """Return the shell that runs this code, or None in a script."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def history_of(shell: Any) -> History:  # noqa: ANN401 - IPython is no import here
    """Return what a shell ran, also when nbmlops was never loaded into it."""
    session = getattr(shell, "nbmlops_session", None)
    history = getattr(session, "history", None)
    if isinstance(history, History):
        return history
    made = History(shell)
    if made.cells:
        made.cells[-1].opened = OF_BLOCKS
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPosition:
    """Where an executed cell is in its notebook."""

    at: float | None
    is_known: bool = True
    is_edited: bool = False


def cell_positions(
    cells: Sequence[ExecutedCell], notebook: Path | None
) -> list[CellPosition]:
    """Return the place of each executed cell in its notebook.

    A cell is found by its id, else by its text. One that is not in the file was taken
    out of the notebook if the file was saved after the cell ran; else it may be new,
    and is presumed to come after the cell that ran before it.
    """
    there, saved_at = _read(notebook)
    ids = {cell_id: at for at, (cell_id, _) in there.items() if cell_id}
    texts: dict[str, list[float]] = {}
    for at, (_, text) in there.items():
        texts.setdefault(text.strip(), []).append(at)
    found: list[CellPosition] = []
    by_id: dict[str, CellPosition] = {}
    before = -1.0
    for number, cell in enumerate(cells, start=1):
        if cell.cell_id is not None and cell.cell_id in ids:
            at = ids[cell.cell_id]
            is_edited = saved_at > cell.at and not _is_same(there[at][1], cell.source)
            place = CellPosition(at=at, is_edited=is_edited)
        elif cell.cell_id is not None and cell.cell_id in by_id:
            place = by_id[cell.cell_id]
        elif (cell.cell_id is None or not ids) and texts.get(cell.source.strip()):
            fitting = texts[cell.source.strip()]
            place = CellPosition(
                at=next((at for at in fitting if at > before), fitting[0])
            )
        elif cell.cell_id is not None and saved_at > cell.at:
            place = CellPosition(at=None)
        else:
            at = before + number / (len(cells) + 1) / 2
            place = CellPosition(at=at, is_known=False)
        if cell.cell_id is not None:
            by_id[cell.cell_id] = place
        found.append(place)
        if place.at is not None:
            before = float(int(place.at)) if place.at >= 0 else -1.0
    return found


def _is_same(one: str, other: str) -> bool:
    """Return whether two sources are the same but for comments and blanks."""
    if one.strip() == other.strip():
        return True
    trees = [parse(to_python(source)) for source in (one, other)]
    dumps = [tree and ast.dump(tree) for tree in trees]
    return dumps[0] is not None and dumps[0] == dumps[1]


def _read(
    notebook: Path | None,
) -> tuple[Mapping[float, tuple[str | None, str]], float]:
    """Return ids and texts of the code cells by their places; when it was saved."""
    if notebook is None:
        return {}, 0.0
    try:
        saved_at = notebook.stat().st_mtime
        document: Any = json.loads(notebook.read_text(encoding="utf-8"))
        found: dict[float, tuple[str | None, str]] = {
            float(place): (cell.get("id"), "".join(cell["source"]))
            for place, cell in enumerate(document["cells"])
            if cell["cell_type"] == "code"
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}, 0.0  # as good as no file
    return found, saved_at
