"""Where executed cells stand in their notebook."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbmlops.tracking.cells import ExecutedCell


def places(
    cells: Sequence[ExecutedCell], notebook: Path | None
) -> tuple[list[float | None], bool]:
    """Return the place of each executed cell in its notebook.

    A cell is found by its id, else by its text. One that is not in the file was taken
    out of the notebook if the file was saved after the cell ran; else it may be new,
    and is presumed to stand behind the cell that ran before it.

    Parameters
    ----------
    cells : sequence of ExecutedCell
        In the order in which they ran.
    notebook : Path or None
        The notebook's file, where it is known.

    Returns
    -------
    tuple of (list of float or None, bool)
        The places, ascending down the notebook, None for what is there no more; and
        whether all of them are known from the file.
    """
    ids, texts, saved_at = _read(notebook)
    found: list[float | None] = []
    by_id: dict[str, float | None] = {}
    is_known = True
    before = -1.0
    for number, cell in enumerate(cells, start=1):
        place: float | None
        if cell.cell_id in ids:
            place = ids[cell.cell_id]
        elif cell.cell_id in by_id:
            place = by_id[cell.cell_id]
        elif (cell.cell_id is None or not ids) and texts.get(cell.source.strip()):
            there = texts[cell.source.strip()]
            place = next((each for each in there if each > before), there[0])
        elif cell.cell_id is not None and saved_at > cell.at:
            place = None
        else:
            place = before + number / (len(cells) + 1) / 2
            is_known = False
        if cell.cell_id is not None:
            by_id[cell.cell_id] = place
        found.append(place)
        before = before if place is None else float(int(place)) if place >= 0 else -1.0
    return found, is_known


def _read(
    notebook: Path | None,
) -> tuple[Mapping[str | None, float], Mapping[str, list[float]], float]:
    """Return places by cell id and by text, and when the file was saved."""
    ids: dict[str | None, float] = {}
    texts: dict[str, list[float]] = {}
    if notebook is None:
        return ids, texts, 0.0
    try:
        saved_at = notebook.stat().st_mtime
        document: Any = json.loads(notebook.read_text(encoding="utf-8"))
        for place, cell in enumerate(document["cells"]):
            if cell["cell_type"] != "code":
                continue
            if cell.get("id"):
                ids[cell["id"]] = float(place)
            text = "".join(cell["source"]).strip()
            texts.setdefault(text, []).append(float(place))
    except (OSError, ValueError, KeyError, TypeError):
        return {}, {}, 0.0  # as good as no file
    return ids, texts, saved_at
