"""Runs a notebook once, in a fork of a server that has imported what it imports."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from nbmlops.execution.cell_status import CellStatus, ExecutionObserver
from nbmlops.execution.outcome import (
    ExecutionOutcome,
    ExecutionStopped,
    TimeLimit,
    first_line,
    is_to_run,
    log_tail,
    traceback_of,
)
from nbmlops.forkserver.fork import Document, Fork, start_fork

_GRACE_S = 3.0
_LEAVE_S = 5.0
_WIDTHS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class ForkClient:
    """Runs a notebook once, in a fork that is gone when `run` returns."""

    def __init__(
        self,
        notebook: Any,  # noqa: ANN401
        *,
        folder: Path,
        env: Mapping[str, str],
        timeout_s: float | None,
        cell_timeout_s: float | None = None,
        on_failure: Callable[[], None],
        modules: Sequence[str],
        chosen: bool = False,
        idle_s: float = 600.0,
        jobs: int = 1,
        observers: Sequence[ExecutionObserver] = (),
    ) -> None:
        self.nb = notebook
        self._env = dict(env) | {"JPY_PARENT_PID": str(os.getpid())}
        self._limit = TimeLimit(timeout_s, cell_timeout_s)
        self._on_failure = on_failure
        self._wanted = {
            "modules": list(modules),
            "chosen": chosen,
            "folder": str(folder),
            **self._threads(jobs),
        }
        self._idle_s = idle_s
        self._status = CellStatus(notebook, observers)
        from nbmlops.execution.clients.outputs import CellOutputs  # loads nbclient

        self._outputs = CellOutputs(notebook)
        self._has_begun = False
        self._fork: Fork | None = None
        self._code: int | None = None
        self._is_over = False
        self._is_leaving = False

    def run(self) -> ExecutionOutcome:
        """Run the notebook to its end, whatever that is."""
        self._limit.start()
        self._status.notebook_start()
        try:
            fork, ready = start_fork(
                self._env,
                self._wanted,
                idle_s=self._idle_s,
                texts=("stdout", "stderr"),
                check=self._limit.check,
            )
        except ExecutionStopped as stopped:
            self._on_failure()
            self._status.notebook_complete()
            return ExecutionOutcome(how=stopped.how)
        self.nb.metadata["language_info"] = ready["language_info"]
        with closing(fork.log), closing(fork):
            self._fork = fork
            return self._run(fork)

    def stop(self) -> None:
        """Interrupt the notebook, from any thread."""
        self._limit.is_stopped = True
        if self._fork is not None:
            self._fork.wake()

    def _threads(self, jobs: int) -> dict[str, int | None]:
        """Return the width of the libraries that the parent has loaded."""
        share = max(1, len(os.sched_getaffinity(0)) // jobs)
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
            if self._env.get(name, "").isdigit():
                return {"blas": max(1, int(self._env[name])), "openmp": None}
        if jobs > 1:  # for the libraries that the run itself is to load
            self._env |= dict.fromkeys(_WIDTHS, str(share))
        return {"blas": share, "openmp": share if jobs > 1 else None}

    def _run(self, fork: Fork) -> ExecutionOutcome:
        index: int | None = None
        try:
            for index, cell in enumerate(self.nb.cells):
                if is_to_run(cell):
                    self._run_cell(fork, index, cell)
                else:
                    self._status.cell_passed(cell, index)
            self._outputs.set_widgets_metadata()
            outcome = ExecutionOutcome(how="finished")
        except ExecutionStopped as stopped:
            outcome = self._outcome(stopped, index if self._has_begun else None, fork)
            self._on_failure()
        finally:
            self._leave(fork)
            self._status.notebook_complete()
        return outcome

    def _run_cell(self, fork: Fork, index: int, cell: Any) -> None:  # noqa: ANN401
        self._limit.start_cell()
        self._status.cell_start(cell, index)
        self._outputs.begin(index)
        try:
            self._limit.check()  # an observer may have taken some
            self._has_begun = True
            fork.send({"source": cell.source})
            reply = self._reply(fork)
            self._outputs.end()
            _judge(cell, reply)
        except BaseException:
            self._status.cell_exception(cell, index)
            raise
        finally:
            self._status.cell_complete(cell, index)

    def _reply(self, fork: Fork) -> Document:
        """Return the reply to a cell; what it says meanwhile becomes its outputs."""
        reply: Document = {}
        while True:
            try:
                left = self._limit.check()
            except ExecutionStopped:
                self._interrupt(fork)
                raise
            for document in self._read(fork, left):
                if document["type"] == "execute_reply":
                    reply = document["content"]
                elif document["type"] == "executed":
                    for late in fork.read_texts():
                        self._outputs.add(late)
                    return reply

    def _read(self, fork: Fork, left: float | None) -> Iterator[Document]:
        """Yield what came, less outputs and endings, which are dealt with."""
        for document in fork.read(min(left or _LEAVE_S, _LEAVE_S)):
            match document["type"]:
                case "ended":
                    self._is_over = True
                    self._code = document["code"]
                    raise ExecutionStopped("died")
                case "left":
                    fork.send_signal(signal.SIGKILL)  # for what it has left behind
                    self._is_over = True
                    raise ExecutionStopped("died")
                case "execute_reply" | "executed":
                    yield document
                case _ if not self._is_leaving:  # a kernel is not heard either
                    self._outputs.add(document)
                    self._status.autosave_cell()

    def _interrupt(self, fork: Fork) -> None:
        """Have the traceback say where it hung; kill what does not end."""
        fork.send_signal(signal.SIGINT)
        until = time.monotonic() + _GRACE_S
        with suppress(ExecutionStopped):
            while (left := until - time.monotonic()) > 0:
                for document in self._read(fork, left):
                    if document["type"] == "executed":
                        return
        self._is_over or fork.send_signal(signal.SIGKILL)  # type: ignore[func-returns-value]

    def _leave(self, fork: Fork) -> None:
        """Have the process end as a kernel that is shut down; kill what does not."""
        if self._is_over:
            return
        fork.send({"end": True})
        self._is_leaving = True
        until = time.monotonic() + _LEAVE_S
        with suppress(ExecutionStopped):
            while (left := until - time.monotonic()) > 0:
                for _ in self._read(fork, left):
                    pass
            fork.send_signal(signal.SIGKILL)
            while True:
                for _ in self._read(fork, None):
                    pass

    def _outcome(
        self, stopped: ExecutionStopped, index: int | None, fork: Fork
    ) -> ExecutionOutcome:
        traceback = "" if index is None else traceback_of(self.nb.cells[index])
        reason = str(stopped)
        if stopped.how == "died":
            reason = "" if self._code is None else f"exit code {self._code}"
            traceback = traceback or log_tail(fork.log)
        return ExecutionOutcome(
            how=stopped.how,
            cell_index=index,
            reason=first_line(reason),
            traceback=traceback,
        )


def _judge(cell: Any, reply: Document) -> None:  # noqa: ANN401
    """Cut the notebook off where a cell left it or raised what it may not."""
    payload = reply.get("payload") or []
    if any(part.get("source") == "ask_exit" for part in payload):
        raise ExecutionStopped("exited", "exit()")
    tags = cell.metadata.get("tags", [])
    if reply.get("status") == "error" and "raises-exception" not in tags:
        how = "exited" if reply["ename"] == "SystemExit" else "raised"
        raise ExecutionStopped(how, f"{reply['ename']}: {reply['evalue']}")  # type: ignore[arg-type]
