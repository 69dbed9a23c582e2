"""The MLflow run of a pipeline, and those of the steps that did not have to run."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal

from nbmlops._masking import mask_tree
from nbmlops.config import Settings
from nbmlops.engines.local import OF_RUN, kill_orphans
from nbmlops.entities import PipelineReport, PipelineSpec, StepReport, to_json
from nbmlops.errors import NbmlopsError, StoreError
from nbmlops.execution.file_hashes import read_record, write_record
from nbmlops.pipeline.runner.journal_sender import JournalSender
from nbmlops.pipeline.runner.step_runs import KEY
from nbmlops.processes.process_id import ProcessId
from nbmlops.store import Store, fluent
from nbmlops.store.runs.fields import PARENT
from nbmlops.tracking.provenance.source import COMMIT, relative, source_tags
from nbmlops.tracking.run.deferred import DeferredRun, send_in_background
from nbmlops.tracking.run.status import status_of
from nbmlops.tracking.sync.sender import sender

PIPELINE = "nbmlops.pipeline"
"""Tag of a pipeline's run and of those of its steps: the file."""
STEP = "nbmlops.step"
CACHED_RUN = "nbmlops.cached_run"
SELECTED = "nbmlops.selected."
FAILED_STEP = "nbmlops.failed."
"""Tags of a pipeline's run: the selected run of a grid; what failed with no run."""
_GRACE_S = 2.0  # in which workers end what they do when their runner was killed


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What the run of a pipeline, or of a sweep, is given at its end."""

    files: Mapping[str, bytes]
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


def summary_of(report: PipelineReport) -> RunSummary:
    """Return how the steps ended, as an artifact."""
    document = json.dumps(mask_tree(to_json(report)), indent=2)
    return RunSummary(files={"nbmlops/pipeline.json": document.encode()})


class RunRecorder:
    """Records one run of a pipeline.

    Nothing of MLflow is loaded before a step has to run.
    """

    def __init__(
        self,
        store: Store,
        spec: PipelineSpec,
        given: Mapping[str, object],
        *,
        kind: Literal["pipeline", "sweep"] = "pipeline",
        summarize: Callable[[PipelineReport], RunSummary] = summary_of,
    ) -> None:
        self._store, self._spec = store, spec
        self._summarize, self._file_tag = summarize, f"nbmlops.{kind}"
        self.settings: Settings = store.settings
        self._file = relative(Path(spec.path), self.settings.project)
        self._tags = source_tags(self.settings.project, environ=os.environ) | {
            "mlflow.source.type": "PROJECT" if kind == "pipeline" else "NOTEBOOK",
            self._file_tag: self._file,
        }
        self._cached: list[DeferredRun] = []  # that are not on their way yet
        self._sender = JournalSender(store, self.environment)
        self._is_open = False
        self._state: Path | None = None
        self.has_orphans = _clear_up(self.settings.home)
        self._run = DeferredRun(
            store,
            name=spec.name,
            experiment=spec.experiment,
            kind=kind,
            source=self._file,
            tags={k: v for k, v in self._tags.items() if k != "mlflow.source.name"},
            params={**spec.params, **given},
        )
        fluent.note_experiment(store, spec.experiment)
        if kind == "pipeline":
            self._run.log_artifact(spec.path, "nbmlops")

    @property
    def run_id(self) -> str:
        """The pipeline's run; while the store has not made it, its key."""
        return self._run.run_id

    @property
    def folder(self) -> Path:
        """Where to put what is of no use when the run has ended."""
        return _scratch(self.settings.home, self._run.key)

    def open(self) -> None:
        """Have the run made in the store, since a step is about to run."""
        if self._is_open:
            return
        self._is_open = True
        if not self._sender.send(self._run):
            self._run.send()
            self._ship_cached()

    def _ship_cached(self) -> None:
        while self._cached:
            self._cached.pop(0).submit()

    def heartbeat(self) -> None:
        """Write a heartbeat, and send a cached step's run; called while steps run."""
        if self._is_open and not self._run.is_sent:
            self._run.heartbeat()
            if self._cached and self._sender.send(self._cached[0]):
                self._cached.pop(0)

    def environment(self) -> dict[str, str]:
        """Return the variable that marks the processes of this run."""
        if self._state is None:
            self._state = _state_folder(self.settings.home) / self._run.key
            self._state.parent.mkdir(parents=True, exist_ok=True)
            write_record(self._state, ProcessId.me().record)
        return {OF_RUN: self._run.key}

    def tags_of(self, step_run: str, cache: str) -> dict[str, str]:
        """Return the tags of a step's MLflow run."""
        commit = self._tags.get(COMMIT)
        return ({COMMIT: commit} if commit else {}) | {
            PARENT: self.run_id,
            self._file_tag: self._file,
            STEP: step_run,
            "nbmlops.cache": cache[:500],
        }

    def log_cached(self, report: StepReport, notebook: str | None, key: str) -> None:
        """Record a step run whose result is cached, or that was pruned before."""
        folder = Path(self._spec.path).parent
        source = relative(folder / notebook, self.settings.project) if notebook else ""
        tags = {k: v for k, v in self._tags.items() if k != "mlflow.source.name"}
        run = DeferredRun(
            self._store,
            name=report.step,
            experiment=self._spec.experiment,
            kind="step",
            source=source or self._file,
            tags=tags
            | self.tags_of(report.step, "hit")
            | {CACHED_RUN: str(report.run_id), KEY: key},
            params=report.params,
        )
        if report.state == "pruned":
            run.end("KILLED", because=report.why)
        else:
            run.end("FINISHED")
        self._cached.append(run)
        if self._run.is_sent:
            self._ship_cached()

    def log_selected(self, step: str, report: StepReport) -> None:
        """Record which run of a grid the steps behind it see."""
        self._run.log_tags({f"{SELECTED}{step}": f"{report.step} {report.run_id}"})

    def log_failure(self, step_run: str, problem: str) -> None:
        """Record a failure of a step run that has no MLflow run."""
        name = sha256(step_run.encode()).hexdigest()[:8]
        self._run.log_tags(
            {f"{FAILED_STEP}{name}": json.dumps([step_run, problem[:5000]])}
        )

    def abandon(self, error: BaseException) -> None:
        """End the run when the runner itself cannot go on."""
        with suppress(NbmlopsError):
            self._run.end(status_of(error), because=f"{type(error).__name__}: {error}")
        self._clear()
        self._sender.close()
        if not self._run.is_sent:
            send_in_background(self.settings)

    def end(self, report: PipelineReport) -> tuple[str, ...]:
        """End the run, and return what the user should know."""
        summary = self._summarize(report)
        for path, content in summary.files.items():
            self._run.log_bytes(content, path)
        self._run.log_tags(summary.tags)
        self._run.log_metrics(summary.metrics)
        failed = [each for each in report.steps if each.state == "failed"]
        because = failed[0].why if failed else ""
        if report.status == "KILLED":
            because = "KeyboardInterrupt: it was interrupted"
        kept = self._run.end(report.status, because=because)
        self._clear()
        if not self._is_open:
            send_in_background(self.settings)
            return ()
        if not self._run.is_sent and not all(map(self._sender.send, self._left())):
            self._ship_cached()
            kept = self._run.send()
        self._sender.close()
        sender().flush_all()
        if self.has_orphans:
            from nbmlops.execution.recovery import reap

            with suppress(StoreError):
                reap(self._store)
        return (str(kept),) if kept else ()

    def _left(self) -> Iterator[DeferredRun]:
        """Yield the runs that are not on their way yet, the pipeline's last."""
        while self._cached:
            yield self._cached[0]
            self._cached.pop(0)
        yield self._run

    def _clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._state is not None:
            self._state.unlink(missing_ok=True)


def _scratch(home: Path, key: str) -> Path:
    return home / "pipelines" / "watched" / key


def _clear_up(home: Path) -> bool:
    """End what runs that were killed have left running; return if there were any."""
    folder = _state_folder(home)
    if not folder.is_dir():
        return False
    dead = []
    for path in folder.iterdir():
        record = read_record(path)
        owner = None
        if isinstance(record, dict):
            owner = ProcessId.from_record(record)
        if owner is None or owner.is_dead(
            last_heartbeat=path.stat().st_mtime, now=time.time()
        ):
            dead.append(path)
    if dead:
        kill_orphans(OF_RUN, [path.name for path in dead], grace_s=_GRACE_S)
        for path in dead:
            shutil.rmtree(_scratch(home, path.name), ignore_errors=True)
            path.unlink(missing_ok=True)
    return bool(dead)


def _state_folder(home: Path) -> Path:
    """Return the folder of the runs that have workers now, or were killed."""
    return home / "pipelines" / "runs"
