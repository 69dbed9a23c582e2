"""Runs the cells of a notebook, in the process that a kind of client starts."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from nbclient import NotebookClient

from nbmlops.execution.cell_status import (
    CellStatus,
    ExecutionObserver,
    is_skipped,
    is_to_run,
)
from nbmlops.execution.outcome import ExecutionOutcome, ExecutionStopped

GRACE_S = 3.0
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
_log.propagate = False


class CellClient(NotebookClient):
    """Runs a notebook once, in a process that is gone when `run` returns.

    What the process says becomes outputs as nbclient makes them.
    """

    def __init__(
        self,
        notebook: Any,  # noqa: ANN401
        *,
        folder: Path,
        env: Mapping[str, str],
        timeout_s: float | None,
        cell_timeout_s: float | None = None,
        on_failure: Callable[[], None],
        observers: Sequence[ExecutionObserver] = (),
        **options: Any,
    ) -> None:
        super().__init__(notebook, log=_log, **options)
        self._folder, self._env = folder, dict(env)
        self._limit = TimeLimit(timeout_s, cell_timeout_s)
        self._on_failure = on_failure
        self._status = CellStatus(notebook, observers)
        self._has_begun = False
        self._kernel_log: IO[bytes] | None = None

    def run(self) -> ExecutionOutcome:
        """Run the notebook to its end, whatever that is."""
        self._limit.start()
        with self._status.notebook():
            try:
                return self._run()
            finally:
                self._end()

    def _run(self) -> ExecutionOutcome:
        index, cell = None, None
        try:
            self._begin()
            for index, cell in enumerate(self.nb.cells):
                if is_to_run(cell):
                    self._limit.start_cell()
                    with self._status.cell(index):
                        self._limit.check()  # an observer may have taken some
                        self._has_begun = True
                        self._run_cell(cell, index)
                elif not is_skipped(cell):
                    with self._status.cell(index):
                        pass
            self.set_widgets_metadata()
        except ExecutionStopped as stopped:
            where = index if self._has_begun else None
            outcome = stopped.outcome(cell, where, self._kernel_log)
            self._on_failure()
            return outcome
        return ExecutionOutcome(how="finished")

    def stop(self) -> None:
        """Interrupt the notebook, from any thread."""
        self._limit.is_stopped = True
        self._wake()

    def _begin(self) -> None:
        """Start the process."""
        raise NotImplementedError

    def _run_cell(self, cell: Any, index: int) -> None:  # noqa: ANN401
        """Have the process run a cell."""
        raise NotImplementedError

    def _wake(self) -> None:
        """Have what waits see that it is to stop, from any thread."""
        raise NotImplementedError

    def _end(self) -> None:
        """End the process, if it was started."""
        raise NotImplementedError

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:  # noqa: ANN401
        """Take what a process says, less what no notebook may hold."""
        content = msg["content"]
        if "data" in content and not msg["msg_type"].startswith("comm_"):
            content["data"] = _storable(content["data"])
        output = super().process_message(msg, cell, cell_index)
        self._status.note_output(output)
        return output


class TimeLimit:
    """The time that a notebook and each of its cells may take, and whether to stop."""

    def __init__(self, timeout_s: float | None, cell_timeout_s: float | None) -> None:
        self.is_stopped = False
        self._timeout_s, self._cell_timeout_s = timeout_s, cell_timeout_s
        self._end = self._cell_end = math.inf

    def start(self) -> None:
        """Begin to count the time of the notebook."""
        if self._timeout_s is not None:
            self._end = time.monotonic() + self._timeout_s

    def start_cell(self) -> None:
        """Begin to count the time of a cell."""
        self.check()
        if self._cell_timeout_s is not None:
            self._cell_end = time.monotonic() + self._cell_timeout_s

    def check(self) -> float | None:
        """Return the seconds left, None without a limit; raise when there are none."""
        if self.is_stopped:
            raise ExecutionStopped("interrupted")
        left_s = min(self._end, self._cell_end) - time.monotonic()
        if left_s <= 0:
            raise ExecutionStopped("timed out")
        return None if left_s == math.inf else left_s


def _storable(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a cell has shown as a notebook may hold it."""
    return {
        kind: value
        if isinstance(value, str) or kind == "application/json" or kind[-5:] == "+json"
        else json.dumps(value)
        for kind, value in data.items()
    }


def refuse_exit(reply: Mapping[str, Any]) -> None:
    """Stop after a cell that called ``exit()``: its process goes away by itself."""
    payload = reply.get("payload") or []
    if any(part.get("source") == "ask_exit" for part in payload):
        raise ExecutionStopped("exited", "exit()")
