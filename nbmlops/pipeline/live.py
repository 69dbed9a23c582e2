"""What runs now, on disk for those who watch: any door's runs, seen from any other.

A folder a run holds its state, the progress of each of its notebooks, and, where they
are asked for, the notebooks as they grow. Its time of change tells that there is news.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from nbmlops._masking import mask, mask_tree
from nbmlops.entities import (
    CellProgress,
    LiveRun,
    LiveStep,
    RunStatus,
    StepReport,
    to_json,
)
from nbmlops.errors import NotFoundError
from nbmlops.pipeline.digests import read_record, write_record
from nbmlops.tracking.owner import Owner

_MOST = 30
_EVERY_S = 0.2
_LONGEST_SHARE = 0.1
_NEEDED = {"kind", "path", "kernel", "boot", "status", "started_at", "steps"}
_STATE, _STOPPING = "state.json", "stopping"
OnProgress = Callable[[CellProgress], None]
"""Given how far a notebook has come, whenever a cell begins."""


def folder_of(home: Path, live_id: str) -> Path:
    """Return where what is told of a run is."""
    return home / "pipelines" / "live" / live_id


class Live:
    """Tells on disk how far a run has come; a disk that is full is no fault of the run.

    Parameters
    ----------
    folder : Path
        Where; see `folder_of`.
    kind : {"pipeline", "step", "sweep"}
        What is executed.
    path : str
        Its file, relative to the project.
    owner : Owner, optional
        The process that runs it; this one by default.
    keeps_notebooks : bool, default=False
        Whether executed notebooks are kept here as they grow.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kind: Literal["pipeline", "step", "sweep"],
        path: str,
        owner: Owner | None = None,
        keeps_notebooks: bool = False,
    ) -> None:
        self.folder, self.keeps_notebooks = folder, keeps_notebooks
        owner = owner or Owner.me()
        self._steps: dict[str, dict[str, Any]] = {}
        self._state: dict[str, Any] = {
            "kind": kind,
            "path": path,
            "kernel": owner.kernel,
            "boot": owner.boot,
            "status": "RUNNING",
            "run_id": None,
            "started_at": time.time(),
            "ended_at": None,
            "problem": "",
            "fix": "",
        }
        self._written_at, self._every_s = 0.0, _EVERY_S
        self._is_new = True

    @classmethod
    def begin(
        cls, home: Path, *, kind: Literal["pipeline", "step", "sweep"], path: str
    ) -> Live:
        """Return a new one of this process; the oldest that have ended are removed."""
        _clear_up(home)
        live = cls(folder_of(home, uuid4().hex), kind=kind, path=path)
        live.write()
        return live

    def expect(self, steps: Iterable[str]) -> None:
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

    def settle(self, report: StepReport) -> None:
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
        """Whether it was told how it ended."""
        return self._state["ended_at"] is not None

    def write(self) -> None:
        """Write all, now."""
        began = time.monotonic()
        document = {**self._state, "steps": list(self._steps.values())}
        with suppress(OSError):
            write_record(self.folder / _STATE, mask_tree(to_json(document)))
        self._written_at, self._is_new = time.monotonic(), False
        took_s = self._written_at - began
        self._every_s = max(_EVERY_S, took_s / _LONGEST_SHARE)


def report_to(folder: Path, step: str) -> OnProgress:
    """Return what writes the progress of a step's notebook beside its run's state."""
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


def list_ids(home: Path) -> Iterator[tuple[str, int]]:
    """Yield the runs that are known, the newest change first, and when that was.

    Parameters
    ----------
    home : Path
        The folder of all that nbmlops keeps for the project.

    Yields
    ------
    tuple of (str, int)
        Its id, and a time that is another after each change.
    """
    with suppress(OSError):
        found = [
            (path.name, path.stat().st_mtime_ns)
            for path in (home / "pipelines" / "live").iterdir()
        ]
        yield from sorted(found, key=lambda each: each[1], reverse=True)


def get_live(home: Path, live_id: str) -> LiveRun:
    """Return a run as far as it has come.

    Parameters
    ----------
    home : Path
        The folder of all that nbmlops keeps for the project.
    live_id : str
        Its id.

    Returns
    -------
    LiveRun
        ``KILLED`` when its process is gone without having ended it.

    Raises
    ------
    NotFoundError
        There is none of that id, any more.
    """
    folder = folder_of(home, live_id)
    record = _read(home, live_id)
    if record is None:
        raise NotFoundError(
            f"No pipeline run {mask(live_id[:80])!r} is known here.",
            fix=f"Only the newest {_MOST} are; older ones are in MLflow.",
        )
    is_dead = record["status"] == "RUNNING" and _is_dead(record)
    if is_dead:
        record |= {
            "status": "KILLED",
            "ended_at": (folder / _STATE).stat().st_mtime,
            "problem": f"Its process ended{_last_words(folder)}.",
            "fix": "Run it again: it goes on from what is done.",
        }
    return LiveRun(
        id=live_id,
        kind=record["kind"],
        path=record["path"],
        status=record["status"],
        run_id=record["run_id"],
        started_at=_at(record["started_at"]),
        ended_at=_at(record["ended_at"]) if record["ended_at"] else None,
        is_stopping=record["status"] == "RUNNING" and (folder / _STOPPING).exists(),
        steps=tuple(_step(folder, each, is_dead) for each in record["steps"]),
        problem=record["problem"],
        fix=record["fix"],
    )


def find_newest(home: Path, path: str) -> LiveRun | None:
    """Return the newest run of a file, relative to the project; None without one."""
    newest: LiveRun | None = None
    for live_id, _ in list_ids(home):
        with suppress(NotFoundError):
            found = get_live(home, live_id)
            is_newer = newest is None or found.started_at > newest.started_at
            if found.path == path and is_newer:
                newest = found
    return newest


def owner_of(home: Path, live_id: str) -> Owner | None:
    """Return the process that runs it, when that lives."""
    record = _read(home, live_id)
    if record is None or record.get("ended_at") or _is_dead(record):
        return None
    return Owner.parse(record["kernel"], record["boot"])


def note_stopping(home: Path, live_id: str) -> None:
    """Note that a run was told to stop."""
    (folder_of(home, live_id) / _STOPPING).touch()


def _read(home: Path, live_id: str) -> dict[str, Any] | None:
    if len(live_id) != 32 or not set(live_id) <= set("0123456789abcdef"):
        return None
    record = read_record(folder_of(home, live_id) / _STATE)
    is_whole = isinstance(record, dict) and record.keys() >= _NEEDED
    return record if is_whole else None


def _step(folder: Path, record: dict[str, Any], is_dead: bool) -> LiveStep:
    facts = {
        each.name: record[each.name] for each in fields(LiveStep) if each.name in record
    }
    began_at, name = record.get("began_at"), record["step"]
    if facts["state"] == "running":
        if is_dead:
            facts["state"], facts["why"] = "stopped", "its process ended"
        elif began_at is not None:
            facts["duration_s"] = max(0.0, time.time() - began_at)
        match read_record(progress_file(folder, name)):
            case {"n_done": int(n_done), "n_cells": int(n_cells), "cell": str(cell)}:
                facts["cells"] = CellProgress(n_done=n_done, n_cells=n_cells, cell=cell)
    elif facts["state"] == "waiting" and is_dead:
        facts["state"], facts["why"] = "not run", "its process ended"
    has_run = facts.get("run_id") and facts["state"] != "running"
    kept = notebook_file(folder, name).exists()
    return LiveStep(**facts, has_notebook=bool(has_run) or kept)


def _is_dead(record: dict[str, Any]) -> bool:
    owner = Owner.parse(record["kernel"], record["boot"])
    return owner is None or owner.is_dead(heard_at=None, now=time.time())


def _last_words(folder: Path) -> str:
    with suppress(OSError):
        text = (folder / "log.txt").read_text("utf-8", "replace")[-5000:]
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if lines:
            return mask(f": {lines[-1][:300].rstrip('.')}")
    return ""


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _clear_up(home: Path) -> None:
    for live_id, _ in list(list_ids(home))[_MOST - 1 :]:
        if owner_of(home, live_id) is None:
            shutil.rmtree(folder_of(home, live_id), ignore_errors=True)
