"""A notebook run for papermill: in a fork where one will do, and not recorded."""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from nbmlops.config import load_settings
from nbmlops.errors import NotebookError
from nbmlops.execution.clients.fork_support import fork_client, why_no_fork
from nbmlops.execution.interrupts import run_interruptibly
from nbmlops.execution.kernel_environment import KernelEnvironment
from nbmlops.execution.notebooks.autosave import Autosave, journal_beside
from nbmlops.execution.outcome import ExecutionOutcome
from nbmlops.execution.recovery import recover_beside
from nbmlops.forkserver.runtime_dir import ForkUnavailable

_log = logging.getLogger(__name__)
_papermill_log = logging.getLogger("papermill")
_HOW = {
    "timed out": "took too long",
    "died": "lost its process",
    "interrupted": "was interrupted",
    "not started": "did not start",
}
_TOLD = ("finished", "raised", "exited")  # by papermill itself


class _Follower:
    """Shows and keeps a notebook as papermill does."""

    def __init__(
        self,
        notebook: Any,  # noqa: ANN401
        saver: Autosave | None,
        options: dict[str, Any],
    ) -> None:
        self._notebook = notebook
        self._saver = saver
        self._is_logged = bool(options.get("log_output"))
        self._files: dict[str, IO[str] | None] = {
            "stdout": options.get("stdout_file"),
            "stderr": options.get("stderr_file"),
        }
        self._running: int | None = None
        self._told: list[int] = []
        from papermill.engines import NotebookExecutionManager

        shown = options.get("progress_bar", False)
        self._bar = NotebookExecutionManager(notebook, progress_bar=shown).pbar

    def begin(self) -> None:
        """Keep the notebook as it is before its first cell."""
        if self._saver is not None:
            self._saver.begin()

    def begin_cell(self, index: int) -> None:
        """Show that a cell begins."""
        self._pass_on(index)

    def keep_cell(self, index: int) -> None:
        """Show that a cell has ended, and what it wrote."""
        if self._saver is not None:
            self._saver.keep_cell(index)
        if self._bar is not None:
            self._bar.update(index + 1 - self._bar.n)
        self._pass_on(index)
        if self._is_logged:
            _papermill_log.info(f"Ending Cell {index + 1:-<43}")

    def keep(self) -> None:
        """Keep the notebook, if it is time, and show what a cell has written."""
        if self._saver is not None:
            self._saver.keep()
        if self._running is not None:
            self._pass_on(self._running)

    def _pass_on(self, index: int) -> None:
        """Log and write what of a cell's outputs is new."""
        if index != self._running:
            self._running, self._told = index, []
            if self._is_logged:
                _papermill_log.info(f"Executing Cell {index + 1:-<40}")
        outputs = self._notebook.cells[index].get("outputs", ())
        if len(outputs) < len(self._told):
            self._told = []  # they were cleared
        for n, output in enumerate(outputs):
            name = output.get("name", "stdout")
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            new = text[self._told[n] if n < len(self._told) else 0 :]
            self._told[n : n + 1] = [len(text)]
            if self._is_logged and new:
                level = logging.WARNING if name == "stderr" else logging.INFO
                _papermill_log.log(level, new)
            file = self._files[name]
            if file is not None and output.output_type == "stream":
                file.write(new)
                file.flush()

    def close(self) -> None:
        """Show that the notebook has ended."""
        if self._saver is not None:
            self._saver.close()
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
    kernel_name = kernel_name or notebook.metadata.kernelspec.name
    path = saver = None
    if output_path and not re.match(r"-$|[a-z][a-z0-9+.-]+:/", output_path):
        from papermill.iorw import papermill_io

        start = getattr(papermill_io.get_handler(output_path), "_cwd", None) or ""
        path = Path(start, output_path).resolve()  # it has gone to the working folder
        recover_beside(path.parent)
        beside = journal_beside(path)
        saver = Autosave(notebook, path, journal=beside, masked=lambda node: node)
    follower = _Follower(notebook, saver, options)
    common: dict[str, Any] = {
        "folder": Path.cwd(),
        "env": dict(os.environ),
        "timeout_s": None,
        "cell_timeout_s": options.get("execution_timeout") or options.get("timeout"),
        "on_failure": lambda: None,
        "observer": follower,
    }
    try:
        ending, interrupt = _run(
            notebook, kernel_name, common, cold=bool(options.get("cold"))
        )
        if saver is not None and ending.how not in _TOLD:
            with suppress(OSError):  # what it is told of matters more
                saver.write()  # papermill writes what it is given, and now it is not
    finally:
        follower.close()
    if interrupt is not None:
        raise interrupt
    _tell(notebook, ending, str(path or output_path))
    return notebook


def _run(
    notebook: Any,  # noqa: ANN401
    kernel_name: str,
    common: dict[str, Any],
    *,
    cold: bool,
) -> tuple[ExecutionOutcome, KeyboardInterrupt | None]:
    why = (
        "it was asked for"
        if cold
        else why_no_fork(notebook, kernel_name, KernelEnvironment())
    )
    if not why:
        try:
            client = fork_client(notebook, load_settings().warm, **common)
            return run_interruptibly(client)
        except ForkUnavailable as reason:
            why = str(reason)
    _log.info("the notebook runs in a kernel: %s.", why)
    from nbmlops.execution.clients.kernel import KernelClient

    specs = KernelEnvironment().kernel_specs()
    cold_client = KernelClient(notebook, kernel_name=kernel_name, specs=specs, **common)
    return run_interruptibly(cold_client)


def _tell(notebook: Any, ending: ExecutionOutcome, where: str) -> None:  # noqa: ANN401
    """Raise what papermill does not find out by itself."""
    if ending.how in _TOLD:
        return
    index = ending.cell_index
    cell = "no cell" if index is None else f"cell {index}"
    reason = f", {ending.reason}" if ending.reason else ""
    raise NotebookError(
        f"The notebook ended in {cell}: it {_HOW[ending.how]}{reason}.",
        fix=f"See the executed notebook: {where}.",
        notebook=where,
        cell_index=index,
        source="" if index is None else notebook.cells[index].source,
        traceback=ending.traceback,
    )
