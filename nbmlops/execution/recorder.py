"""The execution of a notebook under an open run, and what is kept of it."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbmlops._masking import mask, mask_notebook, secrets_of
from nbmlops.entities import Run, RunStatus
from nbmlops.errors import NbmlopsError, NotebookError
from nbmlops.execution.cell_status import OnProgress, ProgressObserver
from nbmlops.execution.clients.choice import run_cells
from nbmlops.execution.kernels import KernelEnvironment
from nbmlops.execution.notebooks.autosave import Autosave
from nbmlops.execution.notebooks.html import to_html
from nbmlops.execution.notebooks.output_file import rescue, write_whole
from nbmlops.execution.outcome import (
    ExecutionOutcome,
    failure_message,
    source_index,
)
from nbmlops.execution.recovery import JOURNAL
from nbmlops.execution.values import VALUES_FILE, read_values, record_values
from nbmlops.secrets import NAMES_FILE, ChildSecrets
from nbmlops.store.runs import queries, runs
from nbmlops.store.runs.queries import list_children
from nbmlops.tracking.provenance.source import COMMIT
from nbmlops.tracking.run.active import ActiveRun

_log = logging.getLogger(__name__)

_SET_BY_STEP = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "NBMLOPS_EXPERIMENT")


@dataclass(kw_only=True)
class Execution:
    """One execution of a notebook, from the first cell to the files that are kept."""

    run: ActiveRun
    source: Path
    notebook: Any
    executed: Any
    environment: KernelEnvironment
    target: Path | None
    timeout_s: float | None
    cell_timeout_s: float | None
    outcome: ExecutionOutcome = field(init=False)
    interrupt: KeyboardInterrupt | None = None
    children: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: NbmlopsError | None = None
    _open_at_failure: tuple[str, ...] = ()
    _secrets: frozenset[str] = frozenset()

    def execute(self, kernel_name: str, report: OnProgress, **options: Any) -> None:
        """Run the cells, and keep what came of them."""
        journal = self.run.reader.folder / JOURNAL
        with tempfile.TemporaryDirectory() as scratch:
            names, values = Path(scratch, "names"), Path(scratch, "values")
            secrets = ChildSecrets(names)

            def masked(node: Any) -> Any:  # noqa: ANN401
                secrets.update()
                return self._masked(node)

            autosave = Autosave(
                self.executed, self.target, journal=journal, masked=masked
            )
            progress = ProgressObserver(
                self.executed, report, expected_s=self.run.expected_s
            )
            try:
                self.outcome, self.interrupt = run_cells(
                    self.executed,
                    kernel_name,
                    self.environment,
                    self.run.store.settings.warm,
                    on_kernel=self._note_kernel,
                    folder=self.environment.folder or self.source.parent,
                    env=self._env(names=names, values=values),
                    timeout_s=self.timeout_s,
                    cell_timeout_s=self.cell_timeout_s,
                    on_failure=self._note_open_children,
                    observers=(autosave, progress),
                    **options,
                )
                self.values = read_values(values)
            finally:
                secrets.update()
        self._mask()
        self._keep()
        autosave.close()
        self._end_runs()

    def _note_kernel(self, why: str) -> None:
        _log.info("%s runs in a kernel: %s.", self.source.name, why)
        self.run.log_tags({"nbmlops.kernel_because": why[:500]})

    def _env(self, *, names: Path, values: Path) -> dict[str, str]:
        tags = self.run.tags
        context = {
            "mlflow.parentRunId": self.run.run_id,
            "mlflow.source.name": tags["mlflow.source.name"],
            "mlflow.source.type": "NOTEBOOK",
            **self.environment.context,
        }
        if commit := tags.get(COMMIT):
            context[COMMIT] = commit
        inherited = {k: v for k, v in os.environ.items() if k not in _SET_BY_STEP}
        return inherited | {
            "JPY_SESSION_NAME": str(self.source),
            "MLFLOW_EXPERIMENT_NAME": self.run.experiment,
            "MLFLOW_RUN_CONTEXT": json.dumps(context),
            "MLFLOW_TRACKING_URI": self.run.store.uri,
            **self.environment.env,
            NAMES_FILE: str(names),
            VALUES_FILE: str(values),
        }

    def _note_open_children(self) -> None:
        with suppress(NbmlopsError):  # the end reports a store that is gone
            self._open_at_failure = tuple(self._open_children(self._children()))

    def _open_children(self, children: Iterable[Run]) -> Iterator[str]:
        """Yield the runs below this one that are still open."""
        waiting = list(children)
        while waiting:
            child = waiting.pop()
            if child.status == "RUNNING":
                yield child.run_id
                waiting += list_children(self.run.store, child.run_id)

    def _children(self) -> tuple[Run, ...]:
        return list_children(self.run.store, self.run.run_id)

    def _masked(self, node: Any) -> Any:  # noqa: ANN401
        """Return a notebook, or a cell of one, without the secrets known by now."""
        is_cell = "cells" not in node
        whole = {"cells": [node]} if is_cell else node
        self._secrets |= secrets_of(whole)
        masked = mask_notebook(whole, self._secrets)
        return masked["cells"][0] if is_cell else masked

    def _mask(self) -> None:
        """Take the secrets out of the notebook and of the outcome."""
        import nbformat

        masked, known = self._masked(self.executed), self._secrets
        self.executed = nbformat.from_dict(masked)  # type: ignore[no-untyped-call]
        self.outcome = replace(
            self.outcome,
            reason=mask(self.outcome.reason, known),
            traceback=mask(self.outcome.traceback, known),
        )

    @contextmanager
    def _noting_problem(self) -> Iterator[None]:
        """Go on after an error; the first one is the problem."""
        try:
            yield
        except NbmlopsError as error:
            self.problem = self.problem or error

    def _keep(self) -> None:
        """Write the executed notebook to all places it belongs to."""
        import nbformat

        text = nbformat.writes(self.executed)  # type: ignore[no-untyped-call]
        content = text.encode("utf-8", "backslashreplace")
        kept = ""
        with self._noting_problem():
            if self.target is not None:
                write_whole(self.target, content)
                kept = str(self.target)
        with self._noting_problem():
            self.run.log_bytes(content, "nbmlops/notebook.ipynb")
            kept = kept or f"nbmlops/notebook.ipynb of run {self.run.run_id}"
            title, folder = self.source.stem, self.source.parent
            page = to_html(self.executed, folder=folder, title=title)
            self.run.log_bytes(
                page.encode("utf-8", "backslashreplace"), "nbmlops/notebook.html"
            )
        kept = kept or str(rescue(self.source.name, content) or "nowhere: disks full")
        if self.outcome.how != "finished":
            self.problem = self._error(kept)
        elif self.problem is not None:
            self.problem.fix += f" The executed notebook is kept in {kept}."

    def _error(self, kept: str) -> NotebookError:
        index = self.outcome.cell_index
        return NotebookError(
            self._failure,
            fix=f"See the executed notebook: {kept}.",
            notebook=str(self.source),
            cell_index=source_index(index, self.executed, self.notebook),
            source="" if index is None else self.executed.cells[index].source,
            traceback=self.outcome.traceback,
            run_id=self.run.run_id,
            how=self.outcome.how,
        )

    @property
    def _failure(self) -> str:
        index, limit_s = self.outcome.cell_index, self.cell_timeout_s
        if index is not None and limit_s is not None:
            took_s = self.executed.cells[index].metadata.papermill.duration
            limit_s = limit_s if took_s and took_s >= limit_s else None
        return failure_message(
            self.outcome,
            self.source.name,
            source_index(index, self.executed, self.notebook),
            timeout_s=self.timeout_s,
            cell_timeout_s=None if index is None else limit_s,
        )

    def _end_runs(self) -> None:
        """End the runs of its cells, and its own."""
        was_killed = self.outcome.how in ("died", "interrupted", "given up")
        with self._noting_problem():
            record_values(self.run, self.values)
            self._end_children("KILLED" if was_killed else "FAILED")
        with self._noting_problem():
            if self.outcome.how == "given up":
                self.run.log_tags({"nbmlops.ended_because": self.outcome.reason})
                self.run.close(status="KILLED")
            else:
                self.run.close(self.problem, status="KILLED" if was_killed else None)

    def _end_children(self, status: RunStatus) -> None:
        """End what the cells left open when their kernel went."""
        store = self.run.store
        because = {"nbmlops.ended_because": self._failure[:500]}
        for run_id in self._open_at_failure:
            # Left to itself, MLflow ends an open run as FINISHED when Python exits.
            if queries.get_run(store, run_id).status in ("RUNNING", "FINISHED"):
                runs.end_run(store, run_id, status, tags=because)
        because = {"nbmlops.ended_because": "Its kernel ended before it did."}
        children = self._children()
        for run_id in tuple(self._open_children(children)):
            runs.end_run(store, run_id, "KILLED", tags=because)
        self.children = tuple(child.run_id for child in reversed(children))
