"""A notebook kept on disk while it runs, at a cost that does not grow with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from nbmlops.errors import NbmlopsError
from nbmlops.pipeline.output import write_whole

_EVERY_S = 5.0
_LONGEST_SHARE = 0.1


class Saver:
    """Keeps a notebook that runs: each finished cell at once, the whole now and then.

    A cell that has ended is added to a journal beside the file. The file is written
    whole at most every five seconds, less often where that takes long, and the journal
    begins anew.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        The notebook that is being filled.
    path : Path
        The file, in a folder that exists.
    masked : callable
        Returns a cell or a notebook as it may be written.
    every_s : float, default=5
        Seconds between two writes of the whole, at least.
    """

    def __init__(
        self,
        notebook: Any,  # noqa: ANN401
        path: Path,
        *,
        masked: Callable[[Any], Any],
        every_s: float = _EVERY_S,
    ) -> None:
        self._notebook = notebook
        self._path = path
        self._masked = masked
        self._every_s = every_s
        self._journal: IO[str] | None = None
        self._written_at = time.monotonic()

    def keep_cell(self, index: int) -> None:
        """Add a cell that has ended to the journal."""
        if self._keep_all():
            return
        cell = self._masked(self._notebook.cells[index])
        with suppress(OSError):  # the end of the notebook will tell of a full disk
            if self._journal is None:
                self._journal = journal_of(self._path).open("w", encoding="utf-8")
            self._journal.write(json.dumps({"index": index, "cell": cell}) + "\n")
            self._journal.flush()

    def keep(self) -> None:
        """Write the whole, when the last time is long ago."""
        self._keep_all()

    def _keep_all(self) -> bool:
        began = time.monotonic()
        if began - self._written_at < self._every_s:
            return False
        with suppress(NbmlopsError):  # as above
            self.write()
        self._written_at = time.monotonic()
        took_s = self._written_at - began
        self._every_s = max(self._every_s, took_s / _LONGEST_SHARE)
        return True

    def write(self) -> None:
        """Write the whole, now.

        Raises
        ------
        UsageError
            It cannot be written.
        StoreError
            The disk is full.
        """
        text = json.dumps(self._masked(self._notebook), indent=1, ensure_ascii=False)
        write_whole(self._path, f"{text}\n".encode("utf-8", "backslashreplace"))
        self._forget()

    def _forget(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        journal_of(self._path).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the journal: its owner writes the notebook, or has done so."""
        with suppress(OSError):
            self._forget()


def journal_of(path: Path) -> Path:
    """Return where the cells are that ended since a notebook was written whole."""
    return path.with_name(f".{path.name}.cells.jsonl")


def recover(path: Path) -> dict[str, Any] | None:
    """Return the notebook that a killed runner left, with the cells of its journal.

    Parameters
    ----------
    path : Path
        The notebook's file, as it was written last.

    Returns
    -------
    dict or None
        As its JSON is; None when there is no journal or no notebook.
    """
    try:
        notebook: dict[str, Any] = json.loads(path.read_text("utf-8"))
        lines = journal_of(path).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return None
    for line in lines:
        with suppress(ValueError, KeyError, IndexError):  # the last may be cut off
            entry = json.loads(line)
            notebook["cells"][entry["index"]] = entry["cell"]
    return notebook
