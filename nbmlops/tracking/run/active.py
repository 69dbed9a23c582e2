"""A run while it is open: how it is made, sent and ended."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import warnings
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from nbmlops._hashing import set_hash
from nbmlops._masking import mask
from nbmlops.entities import Run, RunStatus
from nbmlops.errors import StoreError
from nbmlops.store import Store, fluent
from nbmlops.store.runs.queries import get_run
from nbmlops.tracking.import_hook import PostImportHook
from nbmlops.tracking.journal.reader import RunHeader
from nbmlops.tracking.journal.writer import Journal
from nbmlops.tracking.resources.usage import ResourceUsage
from nbmlops.tracking.run.attempts import RunFingerprint
from nbmlops.tracking.run.curves import Curves
from nbmlops.tracking.run.failures import error_text
from nbmlops.tracking.run.status import status_of, uncaught
from nbmlops.tracking.run.writer import RunWriter
from nbmlops.tracking.sync.sender import PendingUpload, sender
from nbmlops.tracking.sync.sync import damage
from nbmlops.tracking.sync.uploader import load

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

    from nbmlops.tracking.sync.entries import UploadProgress


class ActiveRun(RunWriter):
    """A run that is being recorded: a `RunWriter` that is on its way into the store."""

    def __init__(self, store: Store, journal: Journal, header: RunHeader) -> None:
        super().__init__(journal, header)
        self.store = store
        self._trust = store.settings.models.trust
        self.model_id: str | None = None
        self.error: BaseException | None = None
        self.pending: PendingUpload | None = None
        self.changes: tuple[str, ...] | None = None
        self._pid = os.getpid()
        self.curves = Curves()
        is_remote = sender().start_process()
        self.usage = ResourceUsage(store.settings.cost)
        if is_remote:
            _stores[:] = [store]
            _await_mlflow()
        else:
            load(store)
            self._stack = fluent.stack(store)
        self._task = sender().submit(
            store,
            journal,
            is_remote=is_remote,
            when_made=None if is_remote else self._when_made,
            on_metrics=self.curves.add_points,
        )
        _opened.setdefault(threading.get_ident(), []).append(self)
        atexit.register(self._close_at_exit)

    def __repr__(self) -> str:
        return f"<run {self.name!r} {self._task.progress.run_id or self.key}>"

    @property
    def run_id(self) -> str:
        """MLflow's run id, which may wait for the store; without an answer, the key."""
        return self._made().run_id or self.key

    def _made(self) -> UploadProgress:
        """Wait until the run is made in the store, and return what is known of it."""
        if self._is_open and self._task.is_remote and not self._task.progress.run_id:
            sender().flush(self._task)
        return self._task.progress

    @property
    def attempt(self) -> int | None:
        """Which attempt it is, from 1; None while the store has not answered."""
        return self._made().attempt

    @property
    def expected_s(self) -> float | None:
        """Seconds that the attempt before took; None when that is not known."""
        return self._made().expected_s

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of what the store has not, a line each."""
        progress = self._task.progress
        lacking = [f"the store refuses {each}" for each in progress.refused]
        if progress.n_damaged:
            lacking.append(damage(progress.n_damaged, self.store, self.reader))
        return (*([str(self.pending)] if self.pending else []), *lacking)

    def begin(self) -> None:
        """Have the run made in the store; in the background while MLflow is loading."""
        if self._task.progress.is_busy:
            return
        try:
            self.pending = sender().wait_for_run(self._task)
        except BaseException:
            self._is_open = False
            _forget(self)
            atexit.unregister(self._close_at_exit)
            self._journal.reader.remove()
            raise

    def _when_made(self, made: MlflowRun) -> None:
        if self._is_open:
            fluent.activate(self._stack, made)

    def log_model(
        self,
        model: object,
        example: object = None,
        *,
        name: str = "model",
        trust: bool = False,
    ) -> str:
        """Store a fitted estimator as the run's model."""
        self.model_id = self.keep_model(model, example, name=name, trust=trust)
        if self.not_served:
            message = f"The model is stored and cannot be deployed: {self.not_served}"
            warnings.warn(message, stacklevel=2)
        self.flush()
        return self.model_id

    def flush(self) -> PendingUpload | None:
        """Wait until the store has all that was logged so far."""
        self.pending = sender().flush(self._task)
        if self.model_id is not None:
            made = self._task.progress.models
            self.model_id = made.get(self.model_id, self.model_id)
        return self.pending

    def recorded(self) -> Run | None:
        """Return the run as the store has it: with what others gave it."""
        if self._task.progress.run_id is None:
            return None
        try:
            return get_run(self.store, self.run_id)
        except StoreError:
            return None

    def note_error(self, error: BaseException | None) -> None:
        """Remember how the code fares, for the case that nobody closes the run."""
        self.error = error

    def close(
        self,
        error: BaseException | None = None,
        *,
        because: str = "",
        status: RunStatus | None = None,
    ) -> None:
        """End the run with the status its code has earned."""
        if not self._is_open:
            return
        if os.getpid() != self._pid:  # the run goes on in the process that opened it
            self._is_open = False
            _forget(self)
            return
        atexit.unregister(self._close_at_exit)
        status = status or status_of(error)
        tags = self.usage.tags()
        if self._digests:
            tags["nbmlops.data_hash"] = set_hash(self._digests)
        if error is not None:
            tags["nbmlops.ended_because"] = mask(error_text(error) + because)[:500]
        self.log_tags(tags)
        self.log_tags(self._compared())
        self._is_open = False
        _forget(self)
        self._journal.end(status, self.clock.now_ms())
        try:
            if "mlflow" in sys.modules:
                fluent.deactivate(self.store, self.run_id, status)
        finally:
            self.flush()
        failure = self._task.failure
        is_refused = not (isinstance(failure, StoreError) and failure.is_outage)
        is_made = self._task.progress.run_id is not None
        if failure is not None and is_refused and not is_made and error is None:
            raise failure

    def _compared(self) -> dict[str, str]:
        """Return a tag of what changed since the attempt before, where there is one."""
        before = self._made().attempt_before
        if before is None:
            return {}
        facts = RunFingerprint.from_tags(self._tags, self.params)
        self.changes = facts.changes_since(before)
        return {"nbmlops.changed": ", ".join(self.changes) or "nothing"}

    def _close_at_exit(self) -> None:
        if os.getpid() == self._pid:  # a fork's exit is not the run's
            self.close(self.error or uncaught())


_opened: dict[int, list[ActiveRun]] = {}
"""Runs open in this process, by the thread that opened them."""
_stores: list[Store] = []
"""The store of the run that was opened last, while MLflow is not imported."""


def innermost() -> ActiveRun | None:
    """Return the run that this thread opened last and that is open still, or None."""
    mine = _opened.get(threading.get_ident(), [])
    return mine[-1] if mine else None


@cache
def _await_mlflow() -> None:
    """Have MLflow's own functions log to the open runs once it is imported."""

    def run_ids() -> list[str]:
        opened = _opened.get(threading.get_ident(), ())
        return [run.run_id for run in opened if run.run_id != run.key]

    def use(_mlflow: ModuleType) -> None:
        fluent.use_runs(_stores[-1], run_ids)

    sys.meta_path.insert(0, PostImportHook(["mlflow"], use))


def _forget(run: ActiveRun) -> None:
    for thread, opened in list(_opened.items()):
        if run in opened:
            opened.remove(run)
        if not opened:
            _opened.pop(thread, None)
