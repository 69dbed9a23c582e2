"""Runs written to their journals alone: nothing of the store is loaded meanwhile.

What took a few milliseconds is not to wait a second for MLflow. A journal is sent by
this process when it has loaded MLflow anyway, else by another.
"""

from __future__ import annotations

from collections.abc import Mapping

from nbmlops.config import Settings
from nbmlops.entities import RunStatus
from nbmlops.processes import start_process
from nbmlops.store import Store, embedded
from nbmlops.tracking.journal.writer import Journal
from nbmlops.tracking.run.start import RunKind, make_header
from nbmlops.tracking.run.writer import RunWriter
from nbmlops.tracking.sync import worker
from nbmlops.tracking.sync.sender import PendingUpload, UploadTask, sender


class DeferredRun(RunWriter):
    """A run in its journal, sent on request, or in the background."""

    def __init__(
        self,
        store: Store,
        *,
        name: str,
        experiment: str,
        kind: RunKind,
        source: str,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
        started_at_ms: int | None = None,
    ) -> None:
        header = make_header(
            store,
            name=name,
            experiment=experiment,
            carried={
                "mlflow.source.name": source,
                "nbmlops.kind": kind,
                **(tags or {}),
            },
            started_at_ms=started_at_ms,
        )
        home = store.settings.home
        try:
            journal = Journal.create(home, header)
        except OSError as error:
            raise embedded.disk_error(error, home / "journal") from error
        super().__init__(journal, header)
        self._store = store
        self._trust = store.settings.models.trust
        self._task: UploadTask | None = None
        self._made = self.key
        self.log_params(**(params or {}))

    @property
    def run_id(self) -> str:
        """MLflow's run id where this process knows it; else the run's key."""
        return (self._task and self._task.progress.run_id) or self._made

    def set_run_id(self, run_id: str) -> None:
        """Take the id of the run that another process has made in the store."""
        self._made = run_id

    def heartbeat(self) -> None:
        """Note that the owner lives; call it every second or so."""
        self._journal.reader.heartbeat()

    @property
    def is_sent(self) -> bool:
        """Whether this process sends it."""
        return self._task is not None

    def submit(self) -> UploadTask:
        """Begin to send it, without waiting."""
        if self._task is None:
            is_remote = sender().start_process()
            self._task = sender().submit(
                self._store, self._journal, is_remote=is_remote
            )
        return self._task

    def send(self) -> PendingUpload | None:
        """Have it made in the store, and all that follows sent there."""
        return sender().wait_for_run(self.submit())

    def end(
        self, status: RunStatus, *, because: str = "", ended_at_ms: int | None = None
    ) -> PendingUpload | None:
        """End the run; what was sent so far is sent to its end."""
        if because:
            self.log_tags({"nbmlops.ended_because": because[:500]})
        self._is_open = False
        self._journal.end(status, ended_at_ms or self.clock.now_ms())
        return sender().flush(self._task) if self._task else None


def send_in_background(settings: Settings) -> None:
    """Send a project's journals in a separate process, without waiting."""
    start_process(worker, settings.project)
