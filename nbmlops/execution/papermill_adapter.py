"""A notebook run for papermill: in a fork where one will do, and not recorded."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from nbmlops.config import load_settings
from nbmlops.errors import NotebookError
from nbmlops.execution.cell_status import ExecutionObserver
from nbmlops.execution.clients.choice import run_cells
from nbmlops.execution.kernels import KernelEnvironment
from nbmlops.execution.notebooks.autosave import Autosave, journal_beside
from nbmlops.execution.outcome import ExecutionOutcome
from nbmlops.execution.recovery import recover_beside

_log = logging.getLogger(__name__)
_papermill_log = logging.getLogger("papermill")
_VERBS = {
    "timed out": "took too long",
    "died": "lost its process",
    "interrupted": "was interrupted",
    "not started": "did not start",
}
_RAISED_BY_PAPERMILL = ("finished", "raised", "exited")


class _PapermillObserver(ExecutionObserver):
    """Shows a notebook as papermill does."""

    def __init__(self, notebook: Any, options: Mapping[str, Any]) -> None:  # noqa: ANN401
        from papermill.engines import NotebookExecutionManager

        self._is_logged = bool(options.get("log_output"))
        self._files: dict[str, IO[str] | None] = {
            "stdout": options.get("stdout_file"),
            "stderr": options.get("stderr_file"),
        }
        shown = options.get("progress_bar", False)
        self._bar = NotebookExecutionManager(notebook, progress_bar=shown).pbar

    def on_cell_start(self, index: int) -> None:
        """Show that a cell begins."""
        if self._is_logged:
            _papermill_log.info(f"Executing Cell {index + 1:-<40}")

    def on_cell_end(self, index: int) -> None:
        """Show that a cell has ended."""
        if self._bar is not None:
            self._bar.update(index + 1 - self._bar.n)
        if self._is_logged:
            _papermill_log.info(f"Ending Cell {index + 1:-<43}")

    def on_output(self, output: Any) -> None:  # noqa: ANN401
        """Log what a cell has written, and write it to its file."""
        name = (output or {}).get("name", "")
        text = (output or {}).get("text") or ""
        if file := self._files.get(name):
            file.write(text)
            file.flush()
        if output and not text:
            text = output.get("data", {}).get("text/plain", "")
        if self._is_logged and text:
            level = logging.WARNING if name == "stderr" else logging.INFO
            _papermill_log.log(level, text)

    def close(self) -> None:
        """Show that the notebook has ended."""
        if self._bar is not None:
            self._bar.update(self._bar.total - self._bar.n)
            self._bar.close()


def run_for_papermill(
    notebook: Any,  # noqa: ANN401
    kernel_name: str | None,
    output_path: str | None,
    **options: Any,
) -> Any:  # noqa: ANN401
    """Run a notebook to its end; see `nbmlops.execution.papermill_engine.Engine`."""
    observer = _PapermillObserver(notebook, options)
    autosave = _autosave(notebook, output_path)
    try:
        outcome, interrupt = run_cells(
            notebook,
            kernel_name or notebook.metadata.kernelspec.name,
            KernelEnvironment(),
            load_settings().warm,
            cold=bool(options.get("cold")),
            on_kernel=partial(_log.info, "the notebook runs in a kernel: %s."),
            folder=Path.cwd(),
            env=dict(os.environ),
            timeout_s=None,
            cell_timeout_s=options.get("execution_timeout") or options.get("timeout"),
            on_failure=lambda: None,
            observers=(observer,) if autosave is None else (autosave, observer),
        )
        if autosave is not None and outcome.how not in _RAISED_BY_PAPERMILL:
            with suppress(OSError):  # the error below matters more
                autosave.write()  # papermill writes what is returned, and now none is
    finally:
        if autosave is not None:
            autosave.close()
        observer.close()
    if interrupt is not None:
        raise interrupt
    path = str(output_path if autosave is None else autosave.path)
    _raise_unknown(notebook, outcome, path)
    return notebook


def _autosave(notebook: Any, output_path: str | None) -> Autosave | None:  # noqa: ANN401
    if not output_path or re.match(r"-$|[a-z][a-z0-9+.-]+:/", output_path):
        return None
    from papermill.iorw import papermill_io

    start = getattr(papermill_io.get_handler(output_path), "_cwd", None) or ""
    path = Path(start, output_path).resolve()  # it has gone to the working folder
    recover_beside(path.parent)
    journal = journal_beside(path)
    return Autosave(notebook, path, journal=journal, masked=lambda node: node)


def _raise_unknown(notebook: Any, outcome: ExecutionOutcome, where: str) -> None:  # noqa: ANN401
    """Raise what papermill does not find out by itself."""
    if outcome.how in _RAISED_BY_PAPERMILL:
        return
    index = outcome.cell_index
    cell = "no cell" if index is None else f"cell {index}"
    reason = f", {outcome.reason}" if outcome.reason else ""
    raise NotebookError(
        f"The notebook ended in {cell}: it {_VERBS[outcome.how]}{reason}.",
        fix=f"See the executed notebook: {where}.",
        notebook=where,
        cell_index=index,
        source="" if index is None else notebook.cells[index].source,
        traceback=outcome.traceback,
    )
