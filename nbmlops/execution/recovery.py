"""Notebooks whose runner was killed: put together from what it kept of them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from nbmlops._masking import mask_notebook
from nbmlops.config import Settings
from nbmlops.execution.cell_status import is_to_run
from nbmlops.execution.notebooks.autosave import version_of
from nbmlops.execution.notebooks.output_file import write_whole
from nbmlops.processes.process_id import ProcessId
from nbmlops.store import Store
from nbmlops.tracking.journal.reader import JournalReader, list_journals
from nbmlops.tracking.journal.writer import Journal, append_to
from nbmlops.tracking.sync import recovery

_logger = logging.getLogger(__name__)
JOURNAL = "notebook.cells.jsonl"
"""The journal of a step's notebook, in the folder of its run's journal."""


def reap(store: Store) -> tuple[recovery.Reaped, ...]:
    """End the runs whose process is gone; those of steps keep their notebooks."""
    recover_steps(store.settings)
    return recovery.reap(store)


def recover_steps(settings: Settings) -> tuple[Path, ...]:
    """Complete the output files of killed steps, and log the notebooks to their runs.

    Idempotent. The store gets them with the rest of the run's journal.
    """
    recovered = []
    for reader in recovery.find_dead(settings):
        journal = reader.folder / JOURNAL
        with _skipping_unreadable(), reader.locked() as is_mine:
            is_gone = recovery.is_gone(reader, time.time())
            if is_mine and is_gone and journal.exists():
                notebook, path = _recover(journal)
                # A cell may hold what only a later one made known as a secret.
                notebook = mask_notebook(notebook)
                _log_notebook(reader, notebook)
                recovered += _put(journal, notebook, path)
    return tuple(recovered)


def recover_beside(folder: Path) -> tuple[Path, ...]:
    """Complete the output files in a folder that belong to no run."""
    recovered = []
    for journal in folder.glob(".*.cells.jsonl"):
        with _skipping_unreadable():
            if _is_left(journal):
                notebook, path = _recover(journal)
                recovered += _put(journal, notebook, path)
    return tuple(recovered)


def read_growing(home: Path, path: Path) -> dict[str, Any] | None:
    """Return a notebook that is being executed, with the cells that have ended."""
    for reader in list_journals(home):
        with _skipping_unreadable():
            journal = reader.folder / JOURNAL
            if next(_entries(journal), {}).get("path") == str(path):
                return _replayed(journal)[0]
    return None


@contextmanager
def _skipping_unreadable() -> Iterator[None]:
    """Pass over a journal that cannot be read: the others are still recovered."""
    try:
        yield
    except Exception as error:
        _logger.debug("a notebook was not recovered", exc_info=error)


def _is_left(journal: Path) -> bool:
    head = next(_entries(journal), {})
    owner = ProcessId.from_record(head)
    last_heartbeat = journal.stat().st_mtime
    return owner is not None and owner.is_dead(
        last_heartbeat=last_heartbeat, now=time.time()
    )


def _entries(journal: Path) -> Iterator[dict[str, Any]]:
    with journal.open(encoding="utf-8") as lines:
        for line in lines:
            with suppress(ValueError):  # the last may be cut off
                entry = json.loads(line)
                if isinstance(entry, dict):
                    yield entry


def _recover(journal: Path) -> tuple[dict[str, Any], Path | None]:
    notebook, target = _replayed(journal)
    _mark_killed(notebook, journal.stat().st_mtime)
    return notebook, target


def _replayed(journal: Path) -> tuple[dict[str, Any], Path | None]:
    """Return a notebook with all cells that have ended, and where it is to be put.

    The output file counts only as this runner wrote it: what somebody else has put
    there since is left alone.
    """
    entries = _entries(journal)
    head = next(entries, {})
    notebook: dict[str, Any] = head.get("notebook") or {"cells": []}
    target = Path(head["path"]) if head.get("path") else None
    now = version_of(target) if target else []
    is_ours = False
    for entry in entries:
        if "cell" in entry:
            notebook["cells"][entry["index"]] = entry["cell"]
        elif target is not None and entry.get("written") == now != []:
            notebook = json.loads(target.read_text("utf-8"))
            is_ours = True
    return notebook, target if is_ours else None


def _mark_killed(notebook: dict[str, Any], ended_at: float) -> None:
    """Mark in the cells' metadata that the runner was killed, and where."""
    states = [cell["metadata"].get("papermill", {}) for cell in notebook["cells"]]
    record = notebook.setdefault("metadata", {}).setdefault("papermill", {})
    ended = datetime.fromtimestamp(ended_at, UTC)
    if not any(state.get("status") == "failed" for state in states):
        for cell, state in zip(notebook["cells"], states, strict=True):
            if is_to_run(cell) and state.get("status") in ("running", "pending"):
                state |= {"status": "failed", "exception": True}
                record["exception"] = True
                break
    if not record.get("end_time"):
        record["end_time"] = ended.isoformat()
        with suppress(KeyError, TypeError, ValueError):
            began = datetime.fromisoformat(record["start_time"])
            record["duration"] = (ended - began).total_seconds()


def _log_notebook(reader: JournalReader, notebook: dict[str, Any]) -> None:
    """Have the run's journal bring the notebook into the store."""
    import nbformat

    from nbmlops.execution.notebooks.html import to_html

    title = Path(notebook["metadata"]["papermill"].get("input_path", "")).stem
    node = nbformat.from_dict(notebook)  # type: ignore[no-untyped-call]
    page = to_html(node, folder=Path(), title=title)
    for name, content in (
        ("notebook.ipynb", _content(notebook)),
        ("notebook.html", page.encode("utf-8", "backslashreplace")),
    ):
        kept = Journal(reader).keep(partial(_write, name=name, content=content))
        append_to(reader, ("file", str(kept / name), "nbmlops"))


def _write(folder: Path, *, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)


def _put(journal: Path, notebook: dict[str, Any], path: Path | None) -> list[Path]:
    if path is not None:
        write_whole(path, _content(notebook))
    journal.unlink()
    return [] if path is None else [path]


def _content(notebook: dict[str, Any]) -> bytes:
    text = json.dumps(notebook, indent=1, ensure_ascii=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")
