"""A notebook kept on disk while it runs, at a cost that does not grow with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from nbmlops.errors import NbmlopsError
from nbmlops.execution.cell_status import ExecutionObserver
from nbmlops.execution.notebooks.output_file import write_draft
from nbmlops.processes.process_id import ProcessId

_EVERY_S = 5.0
_LONGEST_SHARE = 0.1


class Autosave(ExecutionObserver):
    """Keeps a notebook that runs: each finished cell at once, the whole now and then.

    The journal begins with the notebook as it is before its first cell; a cell that has
    ended is added to it. Where there is an output file it is written whole at the start
    and then at most every five seconds, less often where that takes long.
    `nbmlops.execution.recovery` puts the two together when this process is killed.
    """

    def __init__(
        self,
        notebook: Any,  # noqa: ANN401
        path: Path | None,
        *,
        journal: Path,
        masked: Callable[[Any], Any],
        every_s: float = _EVERY_S,
    ) -> None:
        self._notebook = notebook
        self.path = path
        self._journal_path = journal
        self._masked = masked
        self._every_s = every_s
        self._journal: IO[str] | None = None
        self._written_at = time.monotonic()

    def on_start(self) -> None:
        """Keep the notebook as it is before its first cell."""
        self.close()
        with suppress(NbmlopsError, OSError):  # the end reports a full disk
            whole = self._masked(self._notebook)
            head = {
                **ProcessId.me().record,
                "path": self.path and str(self.path),
                "notebook": whole,
            }
            self._journal = self._journal_path.open("w", encoding="utf-8")
            self._note(head)
            if self.path is not None:
                self._write(whole)

    def on_cell_end(self, index: int) -> None:
        """Keep a cell that has ended."""
        if self._write_if_due() or self._journal is None:
            return
        with suppress(OSError):  # as above
            cell = self._masked(self._notebook.cells[index])
            self._note({"index": index, "cell": cell})

    def on_output(self, output: Any) -> None:  # noqa: ANN401
        """Write the whole, when the last time is long ago."""
        self._write_if_due()

    def _write_if_due(self) -> bool:
        began = time.monotonic()
        if self.path is None or began - self._written_at < self._every_s:
            return False
        with suppress(NbmlopsError, OSError):  # as above
            self.write()
        self._written_at = time.monotonic()
        took_s = self._written_at - began
        self._every_s = max(self._every_s, took_s / _LONGEST_SHARE)
        return True

    def write(self) -> None:
        """Write the whole into the output file, now."""
        self._write(self._masked(self._notebook))

    def _write(self, whole: Any) -> None:  # noqa: ANN401
        assert self.path is not None  # noqa: S101
        text = json.dumps(whole, indent=1, ensure_ascii=False)
        content = f"{text}\n".encode("utf-8", "backslashreplace")
        draft = write_draft(self.path, content, is_durable=False)
        try:
            self._note({"written": version_of(draft)})
            draft.replace(self.path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise

    def _note(self, document: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps(document) + "\n")
            self._journal.flush()

    def close(self) -> None:
        """Remove the journal: its owner writes the notebook, or has done so."""
        with suppress(OSError):
            if self._journal is not None:
                self._journal.close()
                self._journal = None
                self._journal_path.unlink(missing_ok=True)


def version_of(path: Path) -> list[int]:
    """Return what a renamed file keeps and a new one has not."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_ino, found.st_mtime_ns, found.st_size]


def journal_beside(path: Path) -> Path:
    """Return where the journal of an output file is that belongs to no run."""
    return path.with_name(f".{path.name}.cells.jsonl")
