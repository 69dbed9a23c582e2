"""The execution of a notebook under an open run, and what is kept of it."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from nbmlops._masking import mask
from nbmlops.entities import Run, RunStatus
from nbmlops.errors import NbmlopsError
from nbmlops.execution.cell_status import ExecutionObserver
from nbmlops.execution.clients.fork_support import Client, fork_client, why_no_fork
from nbmlops.execution.failure import FailureMessage
from nbmlops.execution.interrupts import GiveUp, run_interruptibly
from nbmlops.execution.kernel_environment import KernelEnvironment
from nbmlops.execution.notebooks.autosave import Autosave
from nbmlops.execution.notebooks.html import to_html
from nbmlops.execution.notebooks.masking import OutputMasker
from nbmlops.execution.notebooks.output_file import rescue, write_whole
from nbmlops.execution.outcome import ExecutionOutcome
from nbmlops.execution.progress.observer import Follower
from nbmlops.execution.progress.writer import OnProgress
from nbmlops.execution.recovery import JOURNAL
from nbmlops.execution.values import VALUES_FILE, read_values, record_values
from nbmlops.forkserver.runtime_dir import ForkUnavailable
from nbmlops.secrets import NAMES_FILE, ChildSecrets
from nbmlops.store.runs import queries, runs
from nbmlops.store.runs.queries import list_children
from nbmlops.tracking.provenance.source import COMMIT
from nbmlops.tracking.run.active import ActiveRun

_log = logging.getLogger(__name__)

# What the step itself says of its runs, and what would say otherwise.
_STEP_SAYS = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "NBMLOPS_EXPERIMENT")


class Execution:
    """One execution of a notebook, from the first cell to the files that are kept."""

    def __init__(
        self,
        run: ActiveRun,
        source: Path,
        notebook: Any,  # noqa: ANN401
        source_name: str,
    ) -> None:
        self.run = run
        self._source_name = source_name
        self.interrupt: KeyboardInterrupt | None = None
        self.children: tuple[str, ...] = ()
        self.values: dict[str, Any] = {}
        self._source = source
        self._notebook = notebook
        self._executed = notebook
        self._ending: ExecutionOutcome | None = None
        self._timeout_s: float | None = None
        self._cell_timeout_s: float | None = None
        self._open_at_failure: tuple[str, ...] = ()
        self._cover = OutputMasker()
        self._saver: Autosave | None = None

    @property
    def ending(self) -> ExecutionOutcome:
        """How it ended."""
        assert self._ending is not None, "not executed yet"  # noqa: S101
        return self._ending

    @property
    def _account(self) -> FailureMessage:
        return FailureMessage(
            ending=self.ending,
            source=self._source,
            notebook=self._notebook,
            executed=self._executed,
            timeout_s=self._timeout_s,
            cell_timeout_s=self._cell_timeout_s,
        )

    @property
    def _was_killed(self) -> bool:
        return self.ending.how in ("died", "interrupted", "given up")

    def execute(
        self,
        ready: Any,  # noqa: ANN401
        *,
        kernel_name: str,
        experiment: str,
        timeout_s: float | None,
        cell_timeout_s: float | None,
        place: KernelEnvironment,
        cold: bool = False,
        jobs: int = 1,
        target: Path | None = None,
        give_up: GiveUp | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Run the cells, in a thread so that this one can be interrupted."""
        self._executed = ready
        self._timeout_s, self._cell_timeout_s = timeout_s, cell_timeout_s
        with (
            tempfile.TemporaryDirectory() as scratch,
            ExitStack() as closing,
        ):
            names, values = Path(scratch, "names"), Path(scratch, "values")
            left = {NAMES_FILE: str(names), VALUES_FILE: str(values)}
            journal = self.run.reader.folder / JOURNAL
            recall_new = ChildSecrets(names).update

            def masked(node: Any) -> Any:  # noqa: ANN401
                recall_new()
                return self._cover.masked(node)

            self._saver = Autosave(ready, target, journal=journal, masked=masked)
            closing.callback(recall_new)
            keeper: ExecutionObserver = self._saver
            if on_progress is not None:
                expected_s = self.run.expected_s
                keeper = Follower(
                    ready, on_progress, self._saver, expected_s=expected_s
                )
            common: dict[str, Any] = {
                "folder": place.folder or self._source.parent,
                "env": self._environment(experiment, place) | left,
                "timeout_s": timeout_s,
                "cell_timeout_s": cell_timeout_s,
                "on_failure": self._note_open_children,
                "observer": keeper,
            }
            specs = place.kernel_specs()
            why = "it was asked for" if cold else why_no_fork(ready, kernel_name, place)
            if not why:
                settings = self.run.store.settings.warm
                try:
                    client = fork_client(ready, settings, jobs=jobs, **common)
                    self._run(client, give_up)
                except ForkUnavailable as reason:
                    why = str(reason)
            if why:
                _log.info("%s runs in a kernel: %s.", self._source.name, why)
                self.run.log_tags({"nbmlops.kernel_because": why[:500]})
                from nbmlops.execution.clients.kernel import KernelClient

                cold_client = KernelClient(
                    ready, kernel_name=kernel_name, specs=specs, **common
                )
                self._run(cold_client, give_up)
            self.values = read_values(values)

    def _run(self, client: Client, give_up: GiveUp | None) -> None:
        self._ending, interrupt = run_interruptibly(client, give_up)
        self.interrupt = self.interrupt or interrupt

    def _environment(self, experiment: str, place: KernelEnvironment) -> dict[str, str]:
        context = {
            "mlflow.parentRunId": self.run.run_id,
            "mlflow.source.name": self._source_name,
            "mlflow.source.type": "NOTEBOOK",
            **place.context,
        }
        commit = self.run.tags.get(COMMIT)
        if commit:
            context[COMMIT] = commit
        inherited = {
            name: value for name, value in os.environ.items() if name not in _STEP_SAYS
        }
        return inherited | {
            "JPY_SESSION_NAME": str(self._source),
            "MLFLOW_EXPERIMENT_NAME": experiment,
            "MLFLOW_RUN_CONTEXT": json.dumps(context),
            "MLFLOW_TRACKING_URI": self.run.store.uri,
            **place.env,
        }

    def _note_open_children(self) -> None:
        with suppress(NbmlopsError):  # a store that is gone is told of at the end
            self._open_at_failure = tuple(self._open_children())

    def _open_children(self, children: Iterable[Run] | None = None) -> Iterator[str]:
        """Yield the runs below this one that are still open."""
        waiting = list(self._children() if children is None else children)
        while waiting:
            child = waiting.pop()
            if child.status == "RUNNING":
                yield child.run_id
                waiting += list_children(self.run.store, child.run_id)

    def _children(self) -> tuple[Run, ...]:
        return list_children(self.run.store, self.run.run_id)

    def finish(self, target: Path | None) -> NbmlopsError | None:
        """Keep the executed notebook, end the runs of its cells, and end its own."""
        self._mask()
        problem = self._keep(target)
        if self._saver is not None:
            self._saver.close()
        try:
            record_values(self.run, self.values)
            self._end_children()
        except NbmlopsError as error:
            problem = problem or error
        try:
            if self.ending.how == "given up":
                self.run.log_tags({"nbmlops.ended_because": self.ending.reason})
                self.run.close(status="KILLED")
            else:
                self.run.close(problem, status="KILLED" if self._was_killed else None)
        except NbmlopsError as error:
            problem = problem or error
        return problem

    def _mask(self) -> None:
        """Take the secrets out of all that is told of the execution from now on."""
        import nbformat

        masked = self._cover.masked(self._executed)
        known = self._cover.secrets
        self._executed = nbformat.from_dict(masked)  # type: ignore[no-untyped-call]
        self._ending = replace(
            self.ending,
            reason=mask(self.ending.reason, known),
            traceback=mask(self.ending.traceback, known),
        )

    def _keep(self, target: Path | None) -> NbmlopsError | None:
        """Write the executed notebook to all places it belongs to."""
        import nbformat

        text = nbformat.writes(self._executed)  # type: ignore[no-untyped-call]
        content = text.encode("utf-8", "backslashreplace")
        kept, failure = "", None
        try:
            if target is not None:
                write_whole(target, content)
                kept = str(target)
        except NbmlopsError as error:
            failure = error
        try:
            self.run.log_bytes(content, "nbmlops/notebook.ipynb")
            kept = kept or f"nbmlops/notebook.ipynb of run {self.run.run_id}"
            title, folder = self._source.stem, self._source.parent
            page = to_html(self._executed, folder=folder, title=title)
            self.run.log_bytes(
                page.encode("utf-8", "backslashreplace"), "nbmlops/notebook.html"
            )
        except NbmlopsError as error:
            failure = failure or error
        kept = kept or str(rescue(self._source.name, content) or "nowhere: disks full")
        if self.ending.how != "finished":
            return self._account.error(kept, run_id=self.run.run_id)
        if failure is not None:
            failure.fix += f" The executed notebook is kept in {kept}."
        return failure

    def _end_children(self) -> None:
        """End what the cells left open when their kernel went."""
        store = self.run.store
        status: RunStatus = "KILLED" if self._was_killed else "FAILED"
        because = {"nbmlops.ended_because": self._account.problem[:500]}
        for run_id in self._open_at_failure:
            # Left to itself, MLflow ends an open run as FINISHED when Python exits.
            if queries.get_run(store, run_id).status in ("RUNNING", "FINISHED"):
                runs.end_run(store, run_id, status, tags=because)
        because = {"nbmlops.ended_because": "Its kernel ended before it did."}
        children = self._children()
        for run_id in tuple(self._open_children(children)):
            runs.end_run(store, run_id, "KILLED", tags=because)
        self.children = tuple(child.run_id for child in reversed(children))
