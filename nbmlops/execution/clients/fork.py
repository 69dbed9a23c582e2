"""Runs a notebook in a fork of a server that has imported what it imports."""

from __future__ import annotations

import math
import os
import signal
import time
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Any

from nbclient.exceptions import CellExecutionComplete
from nbformat.v4 import output_from_msg

from nbmlops.execution.clients.client import GRACE_S, CellClient, refuse_exit
from nbmlops.execution.outcome import ExecutionStopped
from nbmlops.forkserver.fork import Document, Fork, start_fork

_LEAVE_S = 5.0
_WIDTHS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class ForkClient(CellClient):
    """Runs a notebook once, in a fork, whose messages come without sockets."""

    def __init__(
        self,
        notebook: Any,  # noqa: ANN401
        *,
        modules: Sequence[str],
        chosen: bool = False,
        idle_s: float = 600.0,
        jobs: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(notebook, **options)
        self.comm_open_handlers = {}
        self._env["JPY_PARENT_PID"] = str(os.getpid())
        self._wanted = {
            "modules": list(modules),
            "chosen": chosen,
            "folder": str(self._folder),
            **self._threads(jobs),
        }
        self._idle_s = idle_s
        self._index = 0
        self._fork: Fork | None = None
        self._is_over = self._is_leaving = False

    def _threads(self, jobs: int) -> dict[str, int | None]:
        """Return the width of the libraries that the server has loaded."""
        share = max(1, len(os.sched_getaffinity(0)) // jobs)
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
            if self._env.get(name, "").isdigit():
                return {"blas": max(1, int(self._env[name])), "openmp": None}
        if jobs > 1:  # for the libraries that the run itself is to load
            self._env |= dict.fromkeys(_WIDTHS, str(share))
        return {"blas": share, "openmp": share if jobs > 1 else None}

    def _begin(self) -> None:
        self._fork, ready = start_fork(
            self._env,
            self._wanted,
            idle_s=self._idle_s,
            texts=("stdout", "stderr"),
            check=self._limit.check,
        )
        self._kernel_log = self._fork.log
        self.nb.metadata["language_info"] = ready["language_info"]

    def _wake(self) -> None:
        if self._fork is not None:
            self._fork.wake()

    def _run_cell(self, cell: Any, index: int) -> None:  # noqa: ANN401
        self._index = index
        cell.outputs, cell.metadata["execution"] = [], {}
        self.clear_before_next_output = False
        reply = self._execute(cell.source)
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        cell.metadata["execution"]["shell.execute_reply"] = now
        refuse_exit(reply)
        tags = cell.metadata.get("tags", [])
        if reply.get("status") == "error" and "raises-exception" not in tags:
            reason = f"{reply['ename']}: {reply['evalue']}"
            is_exit = reply["ename"] == "SystemExit"
            raise ExecutionStopped("exited" if is_exit else "raised", reason)

    def _execute(self, source: str) -> Document:
        """Return the reply to a cell; what it says meanwhile becomes its outputs."""
        assert self._fork is not None  # noqa: S101 - started before
        self._fork.send({"source": source})
        reply: Document = {}
        while True:
            try:
                left_s = self._limit.check()
            except ExecutionStopped:
                self._interrupt()
                raise
            for document in self._read(left_s):
                if document["type"] == "execute_reply":
                    reply = document["content"]
                elif document["type"] == "executed":
                    for late in self._fork.read_texts():
                        self._add_output(late)
                    return reply

    def _read(self, left_s: float | None) -> Iterator[Document]:
        """Yield what came, less outputs and endings, which are dealt with."""
        assert self._fork is not None  # noqa: S101 - started before
        for document in self._fork.read(min(left_s or _LEAVE_S, _LEAVE_S)):
            match document["type"]:
                case "ended":
                    self._is_over = True
                    code = document["code"]
                    raise ExecutionStopped("died", _exit_code(code))
                case "left":
                    self._fork.send_signal(signal.SIGKILL)  # for what it left behind
                    self._is_over = True
                    raise ExecutionStopped("died")
                case "execute_reply" | "executed":
                    yield document
                case _ if not self._is_leaving:  # a kernel is not heard either
                    self._add_output(document)

    def _add_output(self, document: Document) -> None:
        """Add what the process said to the cell's outputs, or change those it has."""
        kind = document["type"]
        message = {
            "msg_type": kind,
            "header": {"msg_type": kind, "date": datetime.now(UTC)},
            "parent_header": {},
            "content": document["content"],
            "buffers": [b64decode(each) for each in document.get("buffers", ())],
        }
        with suppress(CellExecutionComplete):
            self.process_message(message, self.nb.cells[self._index], self._index)

    def output(self, outs: Any, msg: Any, display_id: Any, cell_index: int) -> Any:  # noqa: ANN401
        """Add an output; text goes on where text of the same stream was the last."""
        last: Any = outs[-1] if outs else {}
        content = msg["content"]
        is_more = last.get("output_type") == "stream" == msg["msg_type"]
        if (
            is_more
            and last.name == content["name"]
            and not self.clear_before_next_output
        ):
            last.text += content["text"]
            return output_from_msg(msg)  # type: ignore[no-untyped-call]
        return super().output(outs, msg, display_id, cell_index)

    def _interrupt(self) -> None:
        """Have the traceback say where it hung; kill what does not end."""
        assert self._fork is not None  # noqa: S101 - started before
        self._fork.send_signal(signal.SIGINT)
        with suppress(ExecutionStopped):
            if not self._has_said("executed", GRACE_S):
                self._fork.send_signal(signal.SIGKILL)

    def _has_said(self, kind: str, limit_s: float) -> bool:
        until = time.monotonic() + limit_s
        while (left_s := until - time.monotonic()) > 0:
            if any(document["type"] == kind for document in self._read(left_s)):
                return True
        return False

    def _end(self) -> None:
        """Have the process end as a kernel that is shut down; kill what does not."""
        if self._fork is None:
            return
        with self._fork.log, closing(self._fork), suppress(ExecutionStopped):
            if not self._is_over:
                self._fork.send({"end": True})
                self._is_leaving = True
                self._has_said("ended", _LEAVE_S)
                self._fork.send_signal(signal.SIGKILL)
                self._has_said("ended", math.inf)


def _exit_code(code: int | None) -> str:
    return "" if code is None else f"exit code {code}"
