"""The one thread of a process that brings journals into the store."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError, StoreError
from nbmlops.store import Store
from nbmlops.tracking.journal.reader import SyncState
from nbmlops.tracking.journal.writer import Journal
from nbmlops.tracking.provenance.source import relative
from nbmlops.tracking.sync.process import RemoteUploader, SenderLostError, SenderProcess
from nbmlops.tracking.sync.uploader import JournalUploader, as_ours, load

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

    from nbmlops.store.runs.runs import Point
    from nbmlops.tracking.sync.entries import UploadProgress

_logger = logging.getLogger(__name__)
_PERIOD_S = 0.25
_LONGEST_PAUSE_S = 2.0
_HEARTBEAT_S = 5.0
_FLUSH_TIMEOUT_S = 4.5
_SILENT_STORE_TIMEOUT_S = 0.5
_UPLOAD_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingUpload:
    """What the store does not have yet."""

    folder: str
    n_entries: int
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.n_entries:,} entries are not in the store yet, but kept in "
            f"{self.folder}; they are sent when it answers, or with: nbmlops sync "
            f"({self.reason})"
        )


class UploadTask:
    """One run's journal while this process sends it."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        process: SenderProcess | None = None,
        **listeners: Any,
    ) -> None:
        self.store = store
        self.journal = journal
        self._upload_here = partial(
            JournalUploader,
            store,
            journal.reader,
            memory=journal.in_memory,
            written=journal.written,
            **listeners,
        )
        self.is_remote = process is not None
        self._uploader = (
            self._upload_here()
            if process is None
            else RemoteUploader(process, store, journal.reader.key)
        )
        self._pid = os.getpid()
        self.failure: NbmlopsError | None = None
        self.position: tuple[int, int] | None = None
        self.is_silent = False
        self.is_awaited = False
        self.n_tries = 0
        self.pause_s = 0.0
        self.next_try_at = 0.0
        self.heartbeat_at = 0.0

    @property
    def progress(self) -> UploadProgress:
        """How far it is."""
        return self._uploader.progress

    @property
    def is_of_parent(self) -> bool:
        """Whether another process sends it: the one that this one is a fork of."""
        return os.getpid() != self._pid

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to try."""
        gone = self.failure is not None and not isinstance(self.failure, StoreError)
        return self.progress.is_ended or gone

    def pending(self) -> PendingUpload:
        """Return what the store does not have, and why."""
        reader = self.journal.reader
        why = self.failure
        reason = why.problem if why else "It does not answer."
        if self.is_of_parent:
            reason = "The process that opened the run sends it."
        return PendingUpload(
            folder=relative(reader.folder, self.store.settings.project),
            n_entries=reader.count_unsent(),
            reason=reason,
        )

    def heartbeat(self) -> None:
        """Note now and then that the owner lives; see whether that was doubted."""
        if time.monotonic() - self.heartbeat_at > _HEARTBEAT_S:
            self.heartbeat_at = time.monotonic()
            self.journal.reader.heartbeat()
            try:
                is_doubted = self.journal.reader.state().is_reaped
            except OSError:  # it was removed
                is_doubted = True
            if is_doubted:
                self.position = None

    def try_once(self) -> None:
        """Send what is there, and remember how that went."""
        position = self.journal.position
        try:
            if not (self.journal.is_ended or self.journal.reader.exists()):
                run_id = self.progress.run_id
                self.journal.renew(SyncState(run_id=run_id, is_reaped=True))
                position = self.journal.position
            if self.journal.in_memory:  # which no other process can read
                self._send_from_here()
            try:
                is_sent = self._uploader.advance()
            except SenderLostError:
                self._send_from_here()
                is_sent = self._uploader.advance()
            if is_sent:
                self.position = position
            self.failure = None
            self.pause_s = 0.0
        except Exception as error:  # noqa: BLE001 - nothing may end the sender
            self.failure = as_ours(error)
            self.pause_s = min(_LONGEST_PAUSE_S, 2 * self.pause_s or _PERIOD_S)
        # What nobody waits for is sent in few pieces, however often others wait.
        self.next_try_at = time.monotonic() + max(self.pause_s, _PERIOD_S)

    def _send_from_here(self) -> None:
        if self.is_remote:
            self.is_remote = False
            self._uploader = self._upload_here(progress=self.progress)
            self.progress.is_busy = True
            try:
                load(self.store)
            finally:
                self.progress.is_busy = False


class Sender:
    """Sends the journals of this process's runs, a few times a second."""

    def __init__(self) -> None:
        self._tasks: list[UploadTask] = []
        self._changed = threading.Condition()
        self._is_urgent = False
        self._thread: threading.Thread | None = None
        self.process: SenderProcess | None = None

    def start_process(self) -> bool:
        """Have a process of its own send what is submitted, if that is of any use."""
        if "mlflow" in sys.modules or "IPython" in sys.modules:
            return False
        if self.process is None or self.process.is_lost:
            with suppress(OSError):
                self.process = SenderProcess()
        return self.process is not None

    def submit(
        self,
        store: Store,
        journal: Journal,
        *,
        is_remote: bool = False,
        when_made: Callable[[MlflowRun], None] | None = None,
        on_metrics: Callable[[Sequence[Point]], None] | None = None,
    ) -> UploadTask:
        """Begin to send a journal, until its end is in the store."""
        process = self.process if is_remote else None
        task = UploadTask(
            store, journal, process, when_made=when_made, on_metrics=on_metrics
        )
        with self._changed:
            self._tasks.append(task)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="nbmlops-sender", daemon=True
                )
                self._thread.start()
        return task

    def wait_for_run(self, task: UploadTask) -> PendingUpload | None:
        """Wait until the run was made in the store."""
        task.is_silent = any(s.failure or s.is_silent for s in self._tasks)
        kept = self.flush(task)
        failure = task.failure
        if failure is not None and not (
            isinstance(failure, StoreError) and failure.is_outage
        ):
            raise failure
        return kept

    def flush(self, task: UploadTask) -> PendingUpload | None:
        """Wait until all that was written is in the store, with a limit on silence."""
        if task.is_of_parent:  # whose sender is not in this process
            return task.pending()
        wanted = task.journal.position
        timeout_s = _SILENT_STORE_TIMEOUT_S if task.is_silent else _FLUSH_TIMEOUT_S
        task.is_awaited = True
        try:
            return self._wait(task, wanted, timeout_s)
        finally:
            task.is_awaited = False

    def _wait(
        self, task: UploadTask, wanted: tuple[int, int], timeout_s: float
    ) -> PendingUpload | None:
        with self._changed:
            tries, progress = task.n_tries, task.progress.n_sent
            began = time.monotonic()
            deadline = began + timeout_s
            while not task.is_over and (
                task.position is None or task.position < wanted
            ):
                task.next_try_at = min(task.next_try_at, time.monotonic())
                if not self._is_urgent:  # else those who wait would wake each other
                    self._is_urgent = True
                    self._changed.notify_all()
                self._changed.wait(0.05)
                if task.progress.n_sent > progress:
                    progress = task.progress.n_sent
                    deadline = time.monotonic() + timeout_s
                elif task.progress.is_busy:
                    deadline = max(deadline, began + _UPLOAD_TIMEOUT_S)
                has_failed = task.failure and task.n_tries > tries
                if has_failed or time.monotonic() > deadline:
                    task.is_silent = not has_failed
                    return task.pending()
        task.is_silent = False
        is_stuck = task.failure is not None and not task.progress.is_ended
        return task.pending() if is_stuck else None

    def flush_all(self) -> None:
        """Wait until all runs of this process are in the store as far as written."""
        for task in list(self._tasks):
            self.flush(task)

    def wait_all(self, limit_s: float) -> None:
        """Wait likewise, and longer for a store that is slow."""
        deadline = time.monotonic() + limit_s
        for task in list(self._tasks):
            while self.flush(task) is not None:
                has_failed = task.failure is not None and task.store.is_served
                if has_failed or time.monotonic() > deadline:
                    return
                time.sleep(_PERIOD_S)

    def flush_pending(self) -> None:
        """Wait likewise, but not for a store that fails or keeps silent."""
        silent: set[str] = set()
        for task in list(self._tasks):
            store = task.store.uri
            is_answering = task.failure is None and not task.is_silent
            if is_answering and store not in silent and self.flush(task):
                silent.add(store)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._tasks = [s for s in self._tasks if not s.is_over]
                if not self._is_urgent:
                    self._changed.wait(_PERIOD_S if self._tasks else None)
                self._is_urgent = False
                tasks = sorted(self._tasks, key=lambda s: not s.is_awaited)
            for task in tasks:
                if not task.is_awaited and self._has_awaited():
                    self._is_urgent = True
                    break
                task.heartbeat()
                is_due = time.monotonic() >= task.next_try_at
                has_more = task.journal.position != task.position
                if is_due and (has_more or task.journal.has_forks):
                    task.try_once()
                    with self._changed:
                        task.n_tries += 1
                        self._changed.notify_all()

    def _has_awaited(self) -> bool:
        """Whether someone waits for an upload that can be tried now."""
        now = time.monotonic()
        return any(
            each.is_awaited
            and now >= each.next_try_at
            and each.journal.position != each.position
            for each in self._tasks
        )


_sender: Sender | None = None


def sender() -> Sender:
    """Return the sender of this process."""
    global _sender
    if _sender is None:
        _sender = Sender()
        atexit.register(_flush_at_exit, os.getpid())
    return _sender


def _flush_at_exit(pid: int) -> None:
    if _sender is not None and os.getpid() == pid:  # a fork has nothing to wait for
        _sender.flush_all()


def flush_pending() -> None:
    """Wait until the store has what this process has logged, before it is read."""
    if _sender is not None:
        _sender.flush_pending()


def _forget() -> None:
    global _sender
    if _sender is not None and _sender.process is not None:
        _sender.process.close()  # which would wait for this fork, too, to end
    _sender = None  # a fork has no threads but its own


os.register_at_fork(after_in_child=_forget)
