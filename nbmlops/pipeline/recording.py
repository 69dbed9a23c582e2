"""The MLflow run of a pipeline, and those of the steps that did not have to run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from nbmlops._masking import mask_tree
from nbmlops.config import Settings
from nbmlops.engines.local import OF_RUN, sweep
from nbmlops.entities import PipelineReport, PipelineSpec, StepReport, to_json
from nbmlops.errors import NbmlopsError, StoreError
from nbmlops.pipeline.digests import read_record, write_record
from nbmlops.pipeline.tasks import KEY
from nbmlops.store import Store
from nbmlops.store.runs import PARENT
from nbmlops.tracking.ending import status_of
from nbmlops.tracking.leaving import LeftRun, send_beside
from nbmlops.tracking.owner import Owner
from nbmlops.tracking.sender import sender
from nbmlops.tracking.source import relative, source_tags

PIPELINE = "nbmlops.pipeline"
"""Tag of a pipeline's run and of those of its steps: the file."""
STEP = "nbmlops.step"
CACHED_RUN = "nbmlops.cached_run"
SELECTED = "nbmlops.selected."
TOLD = "nbmlops.failed."
"""Tags of a pipeline's run: the selected run of a grid; what failed with no run."""


class Recording:
    """Records one run of a pipeline.

    Nothing of MLflow is loaded before a step has to run.

    Parameters
    ----------
    store : Store
        Where.
    spec : PipelineSpec
        The pipeline.
    given : Mapping of str to object
        Params of this run.

    Attributes
    ----------
    has_orphans : bool
        Whether a worker went without ending its run.
    """

    def __init__(
        self, store: Store, spec: PipelineSpec, given: Mapping[str, object]
    ) -> None:
        self._store, self._spec = store, spec
        self.settings: Settings = store.settings
        self._file = relative(Path(spec.path), self.settings.project)
        self._tags = source_tags(self.settings.project, environ=os.environ) | {
            "mlflow.source.type": "PROJECT",
            PIPELINE: self._file,
        }
        self.has_orphans = False
        self._hits: list[LeftRun] = []
        self._state: Path | None = None
        _clear_up(self.settings.home)
        self._run = LeftRun(
            store,
            name=spec.name,
            experiment=spec.experiment,
            kind="pipeline",
            source=self._file,
            tags={k: v for k, v in self._tags.items() if k != "mlflow.source.name"},
            params={**spec.params, **given},
        )
        self._run.log_artifact(spec.path, "nbmlops")

    @property
    def run_id(self) -> str:
        """The pipeline's run; while the store has not made it, its key."""
        return self._run.run_id

    def open(self) -> None:
        """Have the run made in the store, since a step is about to run."""
        if not self._run.is_sent:
            self._run.send()
            for hit in self._hits:
                hit.ship()

    def environment(self) -> dict[str, str]:
        """Return what the processes of this run are told from others by."""
        if self._state is None:
            owner = Owner.me()
            self._state = _state_folder(self.settings.home) / self._run.key
            self._state.parent.mkdir(parents=True, exist_ok=True)
            write_record(self._state, {"kernel": owner.kernel, "boot": owner.boot})
        return {OF_RUN: self._run.key}

    def context(self, unit: str, cache: str) -> dict[str, str]:
        """Return the tags of a unit's run.

        Parameters
        ----------
        unit : str
            Its name.
        cache : str
            Value of the tag ``nbmlops.cache``.
        """
        return {
            PARENT: self.run_id,
            PIPELINE: self._file,
            STEP: unit,
            "nbmlops.cache": cache[:500],
        }

    def hit(self, report: StepReport, notebook: str | None, key: str) -> None:
        """Record a unit whose result was kept."""
        folder = Path(self._spec.path).parent
        source = relative(folder / notebook, self.settings.project) if notebook else ""
        tags = {k: v for k, v in self._tags.items() if k != "mlflow.source.name"}
        run = LeftRun(
            self._store,
            name=report.step,
            experiment=self._spec.experiment,
            kind="step",
            source=source or self._file,
            tags=tags
            | self.context(report.step, "hit")
            | {CACHED_RUN: str(report.run_id), KEY: key},
            params=report.params,
        )
        run.end("FINISHED")
        self._hits.append(run)
        if self._run.is_sent:
            run.ship()

    def select(self, step: str, report: StepReport) -> None:
        """Record which run of a grid the steps behind it see."""
        self._run.log_tags({f"{SELECTED}{step}": f"{report.step} {report.run_id}"})

    def tell(self, unit: str, problem: str) -> None:
        """Record a failure that no run of its own tells of."""
        name = sha256(unit.encode()).hexdigest()[:8]
        self._run.log_tags({f"{TOLD}{name}": json.dumps([unit, problem[:5000]])})

    def abandon(self, error: BaseException) -> None:
        """End the run when the runner itself cannot go on."""
        with suppress(NbmlopsError):
            self._run.end(status_of(error), because=f"{type(error).__name__}: {error}")
        if self._state is not None:
            self._state.unlink(missing_ok=True)

    def end(self, report: PipelineReport) -> tuple[str, ...]:
        """End the run, and return what the user should know.

        Parameters
        ----------
        report : PipelineReport
            What became of the steps; an artifact of the run.
        """
        document = json.dumps(mask_tree(to_json(report)), indent=2)
        self._run.log_bytes(document.encode(), "nbmlops/pipeline.json")
        failed = [each for each in report.steps if each.state == "failed"]
        because = failed[0].why if failed else ""
        if report.status == "KILLED":
            because = "KeyboardInterrupt: it was interrupted"
        kept = self._run.end(report.status, because=because)
        if self._state is not None:
            self._state.unlink(missing_ok=True)
        if not self._run.is_sent:
            send_beside(self.settings)
            return ()
        sender().flush_all()
        if self.has_orphans:
            from nbmlops.pipeline.recovery import reap

            with suppress(StoreError):
                reap(self._store)
        return (str(kept),) if kept else ()


def _clear_up(home: Path) -> None:
    """Kill what runs that were killed have left running."""
    folder = _state_folder(home)
    if not folder.is_dir():
        return
    dead = []
    for path in folder.iterdir():
        record = read_record(path)
        owner = None
        if isinstance(record, dict):
            owner = Owner.parse(str(record.get("kernel")), str(record.get("boot")))
        if owner is None or owner.is_dead(
            heard_at=path.stat().st_mtime, now=time.time()
        ):
            dead.append(path)
    if dead:
        sweep(OF_RUN, [path.name for path in dead])
        for path in dead:
            path.unlink(missing_ok=True)


def _state_folder(home: Path) -> Path:
    """Return the folder of the runs that have workers now, or were killed."""
    return home / "pipelines" / "runs"
