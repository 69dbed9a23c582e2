"""Where executed cells are in their notebook."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbmlops.tracking.provenance.cells import ExecutedCell
from nbmlops.tracking.provenance.dataflow.syntax import parse
from nbmlops.tracking.provenance.magics import to_python


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
    and is presumed to stand behind the cell that ran before it.
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
