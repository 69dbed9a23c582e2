"""What runs keep as files, read back: their code and their packages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nbmlops.entities import CodeDifference, Run
from nbmlops.errors import StoreError, UsageError
from nbmlops.execution.notebooks.diff import diff_cells
from nbmlops.execution.notebooks.notebook import code_sources, parse_notebook
from nbmlops.store import Store, artifacts

_FOLDER = "nbmlops"
_PACKAGES = f"{_FOLDER}/environment.txt"
# The cells that made the run; else the whole notebook of a step.
_NOTEBOOKS = (f"{_FOLDER}/replay.ipynb", f"{_FOLDER}/notebook.ipynb")
_MOST_BYTES = 20_000_000


class RunFiles:
    """The files that nbmlops added to a run."""

    def __init__(self, store: Store, run: Run) -> None:
        self._store = store
        self.run = run
        self.problem = ""
        self._sizes: Mapping[str, int] = {}
        try:
            self._sizes = artifacts.list_sizes(store, run.run_id, _FOLDER)
        except StoreError as error:  # metrics can be had where artifacts cannot
            self.problem = error.problem

    @property
    def notebooks(self) -> Sequence[str]:
        """Notebooks with the run's code, the best one first."""
        return [path for path in _NOTEBOOKS if path in self._sizes]

    def packages(self) -> Mapping[str, str] | None:
        """Return the version of each package; None when they were not recorded."""
        if _PACKAGES not in self._sizes:
            return None
        found = {}
        for line in self._read(_PACKAGES).splitlines():
            name, _, version = line.strip().partition("==")
            if name and not name.startswith("#"):
                found[re.sub(r"[-_.]+", "-", name).lower()] = version or "any"
        return found

    def cells(self, path: str) -> list[str]:
        """Return the sources of a notebook's code cells that are not empty."""
        sources = code_sources(parse_notebook(self._read(path), path))
        return [source for source in sources if source.strip()]

    def _read(self, path: str) -> str:
        size_bytes = self._sizes[path]
        if size_bytes > _MOST_BYTES:
            raise UsageError(
                f"{path!r} has {size_bytes:,} bytes, too many to compare.",
                fix="Download it from the MLflow UI.",
            )
        content = artifacts.read_file(self._store, self.run.run_id, path)
        return content.decode("utf-8", "replace")


def diff_code(first: RunFiles, other: RunFiles) -> CodeDifference:
    """Return how the code of a run differs from that of the first one."""
    run_id = other.run.run_id
    for files in (first, other):
        if not files.notebooks:
            return _by_hash(first, other, missing=files)
    shared = [path for path in first.notebooks if path in other.notebooks]
    paths = (shared[0],) * 2 if shared else (first.notebooks[0], other.notebooks[0])
    try:
        before, after = first.cells(paths[0]), other.cells(paths[1])
    except (UsageError, StoreError) as error:
        return CodeDifference(run_id=run_id, note=error.problem)
    cells = diff_cells(before, after)
    n_changed = sum(cell.change != "added" for cell in cells)
    note = "" if shared else f"{paths[0]} is held against {paths[1]}."
    return CodeDifference(
        run_id=run_id,
        cells=cells,
        n_equal=len(before) - n_changed,
        note=note,
        is_equal=not cells,
    )


def _by_hash(first: RunFiles, other: RunFiles, *, missing: RunFiles) -> CodeDifference:
    hashes = [files.run.tags.get("nbmlops.code_hash") for files in (first, other)]
    is_equal = hashes[0] is not None and hashes[0] == hashes[1]
    note = missing.problem or f"No code recorded for run {missing.run.run_id[:8]}."
    if all(hashes):
        note += f" Its hash is {'the same' if is_equal else 'another'}."
    return CodeDifference(run_id=other.run.run_id, note=note, is_equal=is_equal)
