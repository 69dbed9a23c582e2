"""A notebook run once in a fork of a parent that has imported."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from nbmlops.execution.cell_status import CellStatus, ExecutionObserver
from nbmlops.execution.clients.outputs import Outputs
from nbmlops.execution.outcome import (
    ExecutionOutcome,
    ExecutionStopped,
    first_line,
    is_to_run,
    last_words,
    traceback_of,
)
from nbmlops.forkserver.channel import Document, Pipes, kill_group
from nbmlops.forkserver.fork_server import ForkServer
from nbmlops.forkserver.process_state import surroundings
from nbmlops.forkserver.runtime_dir import ForkUnavailable, is_alive

_TURN_S = 0.2
_GRACE_S = 3.0
_LEAVE_S = 5.0
_ATTEMPTS = 5
_WIDTHS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class WarmClient:
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
        keeper: ExecutionObserver | None = None,
    ) -> None:
        self.nb = notebook
        self._folder = folder
        self._env = dict(env) | {"JPY_PARENT_PID": str(os.getpid())}
        self._timeout_s = timeout_s
        self._cell_timeout_s = cell_timeout_s
        self._on_failure = on_failure
        self._wanted = {
            "modules": list(modules),
            "chosen": chosen,
            "folder": str(folder),
        }
        self._idle_s = idle_s
        self._jobs = jobs
        self._states = CellStatus(notebook, keeper)
        self._outputs = Outputs(notebook)
        self._deadline: float | None = None
        self._end = 0.0
        self._is_stopped = False
        self._has_given = False
        self._pipes: Pipes | None = None
        self._code: int | None = None
        self._is_over = False
        self._is_leaving = False
        self._group: int | None = None

    def run(self) -> ExecutionOutcome:
        """Run the notebook to its end, whatever that is."""
        if self._timeout_s is not None:
            self._end = self._deadline = time.monotonic() + self._timeout_s
        self._states.notebook_start()
        try:
            pipes = self._reach(ForkServer(self._env, idle_s=self._idle_s))
        except ExecutionStopped as cut:
            self._on_failure()
            self._states.notebook_complete()
            return ExecutionOutcome(how=cut.how)
        except OSError as error:
            raise ForkUnavailable(f"its parent cannot be reached: {error}") from error
        with closing(pipes):
            return self._run(pipes)

    def stop(self) -> None:
        """Interrupt the notebook, from any thread."""
        self._is_stopped = True
        if self._pipes is not None:
            self._pipes.wake()

    def _reach(self, parent: ForkServer) -> Pipes:
        """Return the pipes of a run that is ready for its first cell."""
        why = ""
        wanted = self._wanted | self._threads()
        for _ in range(_ATTEMPTS):
            pipes = Pipes(parent.runs(), wanted)
            try:
                parent.ask(pipes.folder)
                why = self._settle(pipes, parent)
                if not why:
                    self._pipes = pipes
                    return pipes
            except BaseException:
                pipes.close()
                raise
            pipes.close()
        raise ForkUnavailable(f"its parent took no run: {why}")

    def _settle(self, pipes: Pipes, parent: ForkServer) -> str:
        """Wait until the run is ready; return why another parent is to be asked."""
        while True:
            self._check_time()
            for document in pipes.read(_TURN_S):
                match document["type"]:
                    case "accepted":
                        self._group = document["pid"]
                        pipes.send(surroundings(self._env, str(self._folder)))
                    case "ready":
                        self.nb.metadata["language_info"] = document["language_info"]
                        return ""
                    case "again":
                        return str(document["why"])
                    case "refused":
                        raise ForkUnavailable(str(document["why"]))
                    case "orphaned":
                        return "its parent died"
                    case "ended":
                        words = (pipes.folder / "words").read_text(errors="replace")
                        raise ForkUnavailable(
                            f"its process died at the start: {words[-500:]}"
                        )
            if not is_alive(parent.folder):
                return "its parent died"

    def _threads(self) -> dict[str, int | None]:
        """Return the width of the libraries that the parent has loaded."""
        share = max(1, len(os.sched_getaffinity(0)) // self._jobs)
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
            if self._env.get(name, "").isdigit():
                return {"blas": max(1, int(self._env[name])), "openmp": None}
        if self._jobs > 1:  # for the libraries that the run itself is to load
            self._env |= dict.fromkeys(_WIDTHS, str(share))
        return {"blas": share, "openmp": share if self._jobs > 1 else None}

    def _run(self, pipes: Pipes) -> ExecutionOutcome:
        index: int | None = None
        try:
            for index, cell in enumerate(self.nb.cells):
                if is_to_run(cell):
                    self._run_cell(pipes, index, cell)
                else:
                    self._states.cell_passed(cell, index)
            self._outputs.finish()
            ending = ExecutionOutcome(how="finished")
        except ExecutionStopped as cut:
            ending = self._ending(cut, index if self._has_given else None, pipes)
            self._on_failure()
        finally:
            self._leave(pipes)
            self._states.notebook_complete()
        return ending

    def _run_cell(self, pipes: Pipes, index: int, cell: Any) -> None:  # noqa: ANN401
        self._check_time()
        if self._cell_timeout_s:
            end = time.monotonic() + self._cell_timeout_s
            self._deadline = end if self._timeout_s is None else min(end, self._end)
        self._states.cell_start(cell, index)
        self._outputs.begin(index)
        try:
            self._check_time()  # whoever was told that it begins may have taken some
            self._has_given = True
            pipes.send({"source": cell.source})
            reply = self._answer(pipes)
            self._outputs.end()
            _judge(cell, reply)
        except BaseException:
            self._states.cell_exception(cell, index)
            raise
        finally:
            self._states.cell_complete(cell, index)

    def _answer(self, pipes: Pipes) -> Document:
        """Return the reply to a cell; what it says meanwhile becomes its outputs."""
        reply: Document = {}
        while True:
            try:
                left = self._check_time()
            except ExecutionStopped:
                self._interrupt(pipes)
                raise
            for document in self._heard(pipes, left):
                if document["type"] == "execute_reply":
                    reply = document["content"]
                elif document["type"] == "executed":
                    for late in pipes.said():
                        self._outputs.take(late)
                    return reply

    def _heard(self, pipes: Pipes, left: float | None) -> Iterator[Document]:
        """Yield what came, less outputs and endings, which are dealt with."""
        for document in pipes.read(min(left or _LEAVE_S, _LEAVE_S)):
            match document["type"]:
                case "ended" | "orphaned":
                    self._is_over = True
                    if document["type"] == "orphaned":
                        kill_group(self._group)
                    self._code = document.get("code")
                    raise ExecutionStopped("died")
                case "left":
                    pipes.signal(b"k")  # for what it has left behind
                    self._is_over = True
                    raise ExecutionStopped("died")
                case "execute_reply" | "executed":
                    yield document
                case _ if not self._is_leaving:  # a kernel is not heard either
                    self._outputs.take(document)
                    self._states.autosave_cell()

    def _interrupt(self, pipes: Pipes) -> None:
        """Have the traceback tell where it hung; kill what does not listen."""
        pipes.signal(b"i")
        until = time.monotonic() + _GRACE_S
        with suppress(ExecutionStopped):
            while (left := until - time.monotonic()) > 0:
                for document in self._heard(pipes, left):
                    if document["type"] == "executed":
                        return
        self._is_over or pipes.signal(b"k")  # type: ignore[func-returns-value]

    def _check_time(self) -> float | None:
        """Return the seconds left, or cut the notebook off."""
        if self._is_stopped:
            raise ExecutionStopped("interrupted")
        if self._deadline is None:
            return None
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ExecutionStopped("timed out")
        return left

    def _leave(self, pipes: Pipes) -> None:
        """Have the process end as a kernel that is shut down; kill what does not."""
        if self._is_over:
            return
        pipes.send({"end": True})
        self._is_leaving = True
        until = time.monotonic() + _LEAVE_S
        with suppress(ExecutionStopped):
            while (left := until - time.monotonic()) > 0:
                for _ in self._heard(pipes, left):
                    pass
            pipes.signal(b"k")
            while True:
                for _ in self._heard(pipes, None):
                    pass

    def _ending(
        self, cut: ExecutionStopped, index: int | None, pipes: Pipes
    ) -> ExecutionOutcome:
        traceback = "" if index is None else traceback_of(self.nb.cells[index])
        reason = str(cut)
        if cut.how == "died":
            reason = "" if self._code is None else f"exit code {self._code}"
            with suppress(OSError), (pipes.folder / "words").open("rb") as words:
                traceback = traceback or last_words(words)
        return ExecutionOutcome(
            how=cut.how,
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
