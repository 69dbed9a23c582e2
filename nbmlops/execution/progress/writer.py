"""Writes the progress of a run to disk, where every door reads it.

A folder a run holds its state, the progress of each of its notebooks, and, where they
are asked for, the notebooks as they grow. Its time of change says when it was written.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from nbmlops._masking import mask_tree
from nbmlops.entities import CellProgress, RunStatus, StepReport, to_json
from nbmlops.execution.cell_status import OnProgress
from nbmlops.execution.file_hashes import write_record
from nbmlops.processes.process_id import ProcessId

_EVERY_S = 0.2
_LONGEST_SHARE = 0.1
STATE = "state.json"


def folder_of(home: Path, live_id: str) -> Path:
    """Return the folder of a run's progress."""
    return home / "pipelines" / "live" / live_id


class ProgressWriter:
    """Writes a run's progress to disk; a full disk does not fail the run."""

    def __init__(
        self,
        folder: Path,
        *,
        kind: Literal["pipeline", "step", "sweep"],
        path: str,
        owner: ProcessId | None = None,
        keeps_notebooks: bool = False,
    ) -> None:
        self.folder, self.keeps_notebooks = folder, keeps_notebooks
        owner = owner or ProcessId.me()
        self._steps: dict[str, dict[str, Any]] = {}
        self._state: dict[str, Any] = {
            "kind": kind,
            "path": path,
            **owner.record,
            "status": "RUNNING",
            "run_id": None,
            "started_at": time.time(),
            "ended_at": None,
            "problem": "",
            "fix": "",
        }
        self._written_at, self._every_s = 0.0, _EVERY_S
        self._is_new = True

    def set_waiting(self, steps: Iterable[str]) -> None:
        """Take the names of all steps, in order."""
        for name in steps:
            self.set(name, state="waiting")

    def set(self, step: str, **facts: object) -> None:
        """Note facts about a step: fields of `LiveStep`, or ``began_at``."""
        self._steps.setdefault(step, {"step": step, "began_at": None}).update(facts)
        self._is_new = True

    def start(self, step: str, why: str, expected_s: float | None = None) -> None:
        """Note that a step begins."""
        self.set(
            step,
            state="running",
            why=why,
            began_at=time.time(),
            expected_s=expected_s,
            run_id=None,
        )
        with suppress(OSError):
            progress_file(self.folder, step).unlink(missing_ok=True)
        self.flush()

    def set_report(self, report: StepReport) -> None:
        """Note what became of a step."""
        known = self._steps.get(report.step, {})
        took_s = report.duration_s
        if not took_s and known.get("began_at"):  # it has failed or was stopped
            took_s = time.time() - known["began_at"]
        self.set(
            report.step,
            state=report.state,
            why=report.why,
            run_id=report.run_id,
            duration_s=took_s or known.get("duration_s", 0.0),
            began_at=None,
        )

    def flush(self) -> None:
        """Write what is new, when the last time is a while ago."""
        if self._is_new and time.monotonic() - self._written_at > self._every_s:
            self.write()

    def end(
        self,
        status: RunStatus,
        *,
        run_id: str | None = None,
        problem: str = "",
        fix: str = "",
    ) -> None:
        """Note how it ended."""
        self._state |= {
            "status": status,
            "run_id": run_id,
            "ended_at": time.time(),
            "problem": problem,
            "fix": fix,
        }
        self.write()

    @property
    def has_ended(self) -> bool:
        """Whether its end is written."""
        return self._state["ended_at"] is not None

    def write(self) -> None:
        """Write all, now."""
        began = time.monotonic()
        document = {**self._state, "steps": list(self._steps.values())}
        with suppress(OSError):
            write_record(self.folder / STATE, mask_tree(to_json(document)))
        self._written_at, self._is_new = time.monotonic(), False
        took_s = self._written_at - began
        self._every_s = max(_EVERY_S, took_s / _LONGEST_SHARE)


def report_to(folder: Path, step: str) -> OnProgress:
    """Return what writes the progress of a step's notebook into its run's folder."""
    path = progress_file(folder, step)

    def write(progress: CellProgress) -> None:
        with suppress(OSError):
            write_record(path, to_json(progress))

    return write


def progress_file(folder: Path, step: str) -> Path:
    """Return where the progress of a step's notebook is."""
    return folder / f"{_digest(step)}.json"


def notebook_file(folder: Path, step: str) -> Path:
    """Return where a step's notebook grows, in runs that keep it."""
    return folder / f"{_digest(step)}.ipynb"


def _digest(step: str) -> str:
    return sha256(step.encode("utf-8", "surrogateescape")).hexdigest()[:16]
