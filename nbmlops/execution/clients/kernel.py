"""Runs a notebook in a kernel: nbclient with one limit for all, and none left over."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbclient.util import ensure_async

from nbmlops.execution.clients.client import GRACE_S, CellClient, refuse_exit
from nbmlops.execution.outcome import ExecutionStopped, log_tail

_START_S = 60
_OUTPUT_S = 60


class KernelClient(CellClient):
    """Runs a notebook once, in a kernel of its own."""

    km: Any
    kc: Any

    def __init__(
        self,
        notebook: Any,  # noqa: ANN401
        *,
        kernel_name: str,
        specs: KernelSpecManager,
        **options: Any,
    ) -> None:
        super().__init__(
            notebook,
            kernel_name=kernel_name,
            iopub_timeout=_OUTPUT_S,
            raise_on_iopub_timeout=True,
            startup_timeout=_START_S,
            on_cell_executed=lambda *, execute_reply, **_: refuse_exit(
                execute_reply["content"]
            ),
            **options,
        )
        self._specs = specs
        self._runner = asyncio.Runner()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        self._is_answering = True
        self._group: int | None = None

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop has closed: it has ended already
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._stopped.set)

    def _begin(self) -> None:
        """Start the kernel, again if another process took a port that was free."""
        self._loop = self._runner.get_loop()
        self._kernel_log = tempfile.TemporaryFile()  # noqa: SIM115 - until `_end`
        for is_last in (False, False, True):
            self.km = self.create_kernel_manager()
            self.km.kernel_spec_manager = self._specs
            try:
                self._within(self._start())
                return
            except (RuntimeError, OSError) as error:  # nbclient has cleaned up
                is_taken = "Address already in use" in log_tail(self._kernel_log)
                if is_last or not is_taken or isinstance(error, OSError):
                    self._is_answering = False
                    raise ExecutionStopped("not started", str(error)) from error

    async def _start(self) -> None:
        """Start the kernel; what it writes to its streams goes to a file."""
        assert self._kernel_log is not None  # noqa: S101 - made just before
        log = self._kernel_log.fileno()
        try:
            await self.async_start_new_kernel(
                cwd=str(self._folder), env=self._env, stdout=log, stderr=log
            )
        finally:
            provisioner = self.km and self.km.provisioner
            group, pid = (getattr(provisioner, name, None) for name in ("pgid", "pid"))
            self._group = group if group == pid else None
        await self.async_start_new_kernel_client()
        info: Any = await self.async_wait_for_reply(self.kc.kernel_info())
        self.nb.metadata["language_info"] = info["content"]["language_info"]

    def _run_cell(self, cell: Any, index: int) -> None:  # noqa: ANN401
        try:
            self._within(self.async_execute_cell(cell, index), interrupt=True)
        except CellExecutionError as error:
            reason = f"{error.ename}: {error.evalue}"
            is_exit = error.ename == "SystemExit"
            raise ExecutionStopped("exited" if is_exit else "raised", reason) from error
        except DeadKernelError as error:
            self._is_answering = False
            raise ExecutionStopped("died", str(error)) from error
        except (RuntimeError, OSError) as error:
            raise ExecutionStopped("raised", str(error)) from error

    def _within(
        self, work: Coroutine[Any, Any, object], *, interrupt: bool = False
    ) -> None:
        """Do ``work`` until the time is up or someone calls `stop`."""
        self._runner.run(self._wait(work, interrupt))

    async def _wait(self, work: Coroutine[Any, Any, object], interrupt: bool) -> None:
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
                await asyncio.wait({task}, timeout=GRACE_S)
                self._is_answering = task.done()
            raise ExecutionStopped("interrupted" if stopped.done() else "timed out")
        finally:
            stopped.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _end(self) -> None:
        self.shutdown_kernel = "graceful" if self._is_answering else "immediate"
        try:
            if self.km is not None:
                self._runner.run(self._async_cleanup_kernel())
        finally:
            if self._group is not None and self._group != os.getpgid(0):
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._group, signal.SIGKILL)
            self._runner.close()
            if self._kernel_log is not None:
                self._kernel_log.close()
