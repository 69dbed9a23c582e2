"""What a run came from, kept with it: its cells, their order, the files they open."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nbmlops.entities import Order, to_json
from nbmlops.tracking.provenance.cells import (
    ExecutedCell,
    History,
    cell_positions,
    history_of,
    running_shell,
)
from nbmlops.tracking.provenance.dataflow.order import Execution, backward, out_of_order
from nbmlops.tracking.provenance.files import keep, opened_files, wait_for_copies
from nbmlops.tracking.provenance.notebook_path import NOTEBOOK
from nbmlops.tracking.provenance.opened_files import OF_BLOCKS
from nbmlops.tracking.provenance.replay_notebook import REPLAY, build
from nbmlops.tracking.provenance.source import relative
from nbmlops.tracking.run.active import ActiveRun


def keep_cells(
    run: ActiveRun,
    history: History,
    *,
    kind: str,
    params: Iterable[str] = (),
    first: int | None = None,
) -> Order:
    """Store the notebook that replays a run as ``nbmlops/replay.ipynb``."""
    cells = history.cells
    codes, effects = history.read()
    last = len(cells) - 1
    own = set(range(last if first is None else first, last + 1))
    kept = backward(effects, own)
    path = NOTEBOOK.find(os.environ)
    there = cell_positions(cells, Path(path) if path else None)
    executions = [
        Execution(
            effects=found,
            code=code,
            place=place.at,
            is_whole=cell.ending == "finished",
            is_edited=place.is_edited,
        )
        for found, code, place, cell in zip(effects, codes, there, cells, strict=True)
    ]
    odd = out_of_order(executions, own)
    order = Order(
        cells=tuple(sorted({cells[position].count for position in odd})),
        is_presumed=not all(place.is_known for place in there),
    )
    _write(
        run,
        [cells[position] for position in kept],
        [codes[position] for position in kept],
        own=[number for number, position in enumerate(kept) if position in own],
        params=params,
        folder=history.folder,
        kind=kind,
        left_out=len(cells) - len(kept),
    )
    return order


def keep_running_code(run: ActiveRun, *, params: Iterable[str] = ()) -> None:
    """Store what replays a run that was opened in Python, not by a magic."""
    shell = running_shell()
    if shell is None:
        _keep_script(run, params)
        wait_for_copies()  # what comes behind the block may change the files
        return
    history = history_of(shell)
    if history.cells:
        order = keep_cells(run, history, kind="block", params=params)
        run.log_tags(order.tags())
        wait_for_copies()


def _keep_script(run: ActiveRun, params: Iterable[str]) -> None:
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if not path or getattr(main, "__package__", None):
        return  # typed at a prompt, or a module of a package: no cell could be it
    try:
        source = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    folder = Path.cwd()
    script = os.path.relpath(path, folder)
    setup = (
        f"import os, sys\nsys.argv = {sys.argv!r}\n"
        f"__file__ = os.path.abspath({script!r})\n"
        "sys.path.insert(0, os.path.dirname(__file__))"
    )
    cells = [
        ExecutedCell(source=setup, count=1, ending="finished"),
        # A script may end itself by sys.exit.
        ExecutedCell(source=source, count=2, ending="unknown", opened=OF_BLOCKS),
    ]
    _write(
        run,
        cells,
        [setup, source],
        own=[1],
        params=params,
        folder=folder,
        kind="script",
        left_out=0,
    )


def _write(
    run: ActiveRun,
    cells: Sequence[ExecutedCell],
    codes: Sequence[str],
    *,
    own: Sequence[int],
    params: Iterable[str],
    folder: Path,
    kind: str,
    left_out: int,
) -> None:
    settings = run.store.settings
    files = opened_files((cell.opened for cell in cells), project=settings.project)
    keep(files, project=settings.project, home=settings.home)
    about: dict[str, Any] = {
        "run": {"run_id": run.run_id, "name": run.name, "kind": kind},
        "folder": relative(folder, settings.project),
        "left_out": left_out,
        "python": platform.python_version(),
        "files": to_json(files),
    }
    run.log_bytes(build(cells, codes, own=own, params=params, about=about), REPLAY)
