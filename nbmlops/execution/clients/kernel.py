"""Papermill with the truth about each cell, one limit for all, and no kernel left over.

Only imported when a notebook is to be run: papermill takes a second to import.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbclient.util import ensure_async
from papermill.clientwrap import PapermillNotebookClient

from nbmlops.execution.cell_status import CellStatus, ExecutionObserver
from nbmlops.execution.clients.outputs import storable
from nbmlops.execution.outcome import (
    ExecutionOutcome,
    ExecutionStopped,
    How,
    TimeLimit,
    first_line,
    is_to_run,
    log_tail,
    traceback_of,
)

_START_S = 60
_OUTPUT_S = 60
_GRACE_S = 3.0
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class KernelClient(PapermillNotebookClient):  # type: ignore[misc]
    """Runs a notebook once, in a kernel of its own that is gone when `run` returns."""

    def __init__(
        self,
        notebook: Any,  # noqa: ANN401
        *,
        kernel_name: str,
        folder: Path,
        env: Mapping[str, str],
        timeout_s: float | None,
        cell_timeout_s: float | None = None,
        specs: KernelSpecManager,
        on_failure: Callable[[], None],
        observers: Sequence[ExecutionObserver] = (),
    ) -> None:
        super().__init__(
            CellStatus(notebook, observers),
            kernel_name=kernel_name,
            iopub_timeout=_OUTPUT_S,
            startup_timeout=_START_S,
            resources={"metadata": {"path": str(folder)}},
            log=_log,
            on_cell_executed=_refuse_exit,
        )
        self._env = dict(env)
        self._specs = specs
        self._limit = TimeLimit(timeout_s, cell_timeout_s)
        self._on_failure = on_failure
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_begun = False
        self._stopped = asyncio.Event()
        self._is_answering = True
        self._group: int | None = None

    def run(self) -> ExecutionOutcome:
        """Run the notebook to its end, whatever that is."""
        return asyncio.run(self._run())

    def stop(self) -> None:
        """Interrupt the notebook, from any thread."""
        self._limit.is_stopped = True
        with suppress(RuntimeError):  # the loop has closed: it has ended already
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._stopped.set)

    async def _run(self) -> ExecutionOutcome:
        self._loop = asyncio.get_running_loop()
        if self._limit.is_stopped:
            self._stopped.set()
        self._limit.start()
        index: int | None = None
        self.nb_man.notebook_start()
        with tempfile.TemporaryFile() as log:
            try:
                await self._within(self._start(log))
                for index, cell in enumerate(self.nb.cells):
                    await self._run_cell(index, cell)
                self.set_widgets_metadata()
                outcome = ExecutionOutcome(how="finished")
            except (
                ExecutionStopped,
                CellExecutionError,
                RuntimeError,
                OSError,
            ) as e:
                outcome = self._outcome(e, index if self._has_begun else None, log)
                self._on_failure()
            finally:
                await self._end_kernel()
                self.nb_man.notebook_complete()
        return outcome

    async def _start(self, log: Any) -> None:  # noqa: ANN401
        """Start the kernel, again if another process took a port that was free."""
        for is_last in (False, False, True):
            self.km = self.create_kernel_manager()
            self.km.kernel_spec_manager = self._specs
            try:
                return await self._start_once(log.fileno())
            except RuntimeError:  # nbclient has cleaned up
                if is_last or "Address already in use" not in log_tail(log):
                    raise
        return None

    async def _start_once(self, log: int) -> None:
        """Start the kernel; what it writes to its streams goes to a file."""
        try:
            await self.async_start_new_kernel(env=self._env, stdout=log, stderr=log)
        finally:
            provisioner = self.km and self.km.provisioner
            group, pid = (getattr(provisioner, name, None) for name in ("pgid", "pid"))
            self._group = group if group == pid else None
        await self.async_start_new_kernel_client()
        info = await self.async_wait_for_reply(self.kc.kernel_info())
        self.nb.metadata["language_info"] = info["content"]["language_info"]

    async def _run_cell(self, index: int, cell: Any) -> None:  # noqa: ANN401
        if not is_to_run(cell):
            self.nb_man.cell_passed(cell, index)
            return
        self._limit.start_cell()
        self.nb_man.cell_start(cell, index)
        try:
            self._limit.check()  # an observer may have taken some
            self._has_begun = True
            await self._within(self.async_execute_cell(cell, index), interrupt=True)
        except BaseException:
            self.nb_man.cell_exception(cell, index)
            raise
        finally:
            self.nb_man.cell_complete(cell, index)

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:  # noqa: ANN401
        """Take what a kernel says as papermill does, less what no notebook may hold."""
        if "data" in msg["content"] and not msg["msg_type"].startswith("comm_"):
            msg["content"]["data"] = storable(msg["content"]["data"])
        return super().process_message(msg, cell, cell_index)

    async def _within(
        self, work: Coroutine[Any, Any, object], *, interrupt: bool = False
    ) -> None:
        """Await ``work`` until the time is up or someone calls `stop`."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait(
                {task, stopped},
                timeout=self._limit.check(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if task.done():
                task.result()
                return
            self._is_answering = False
            if interrupt:  # the traceback then says where it hung
                with suppress(RuntimeError):
                    await ensure_async(self.km.interrupt_kernel())
                await asyncio.wait({task}, timeout=_GRACE_S)
                self._is_answering = task.done()
            raise ExecutionStopped("interrupted" if stopped.done() else "timed out")
        finally:
            stopped.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _end_kernel(self) -> None:
        self.shutdown_kernel = "graceful" if self._is_answering else "immediate"
        try:
            if self.km is not None:
                await self._async_cleanup_kernel()
        finally:
            if self._group is not None and self._group != os.getpgid(0):
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._group, signal.SIGKILL)

    def _outcome(
        self,
        error: Exception,
        index: int | None,
        log: Any,  # noqa: ANN401
    ) -> ExecutionOutcome:
        traceback = "" if index is None else traceback_of(self.nb.cells[index])
        how: How = "raised"
        reason = str(error)
        match error:
            case ExecutionStopped():
                how = error.how
            case CellExecutionError():
                how = "exited" if error.ename == "SystemExit" else "raised"
                reason = f"{error.ename}: {error.evalue}"
            case DeadKernelError() if index is not None:
                how = "died"
            case RuntimeError() | OSError() if index is None:
                how = "not started"
        if how in ("died", "not started"):
            self._is_answering = False
            traceback = traceback or log_tail(log)
        return ExecutionOutcome(
            how=how,
            cell_index=index,
            reason=first_line(reason),
            traceback=traceback,
        )


def _refuse_exit(*, execute_reply: Any, **_: object) -> None:  # noqa: ANN401
    """Stop after a cell that called ``exit()``: its kernel goes away by itself."""
    payload = execute_reply["content"].get("payload") or []
    if any(part.get("source") == "ask_exit" for part in payload):
        raise ExecutionStopped("exited", "exit()")
