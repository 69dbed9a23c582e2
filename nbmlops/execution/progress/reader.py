"""Reads the progress of runs that is on disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from nbmlops._masking import mask
from nbmlops.entities import CellProgress, LiveRun, LiveStep
from nbmlops.errors import NotFoundError
from nbmlops.execution.file_hashes import read_record
from nbmlops.execution.progress.writer import (
    STATE,
    ProgressWriter,
    folder_of,
    notebook_file,
    progress_file,
)
from nbmlops.processes.process_id import ProcessId

_MOST = 30
_STOPPING = "stopping"
_NEEDED = {"kind", "path", "kernel", "boot", "status", "started_at", "steps"}
_DIGITS = set("0123456789abcdef")


def begin(
    home: Path, *, kind: Literal["pipeline", "step", "sweep"], path: str
) -> ProgressWriter:
    """Return the progress folder of a new run, and remove the oldest ended ones."""
    for live_id, _ in list(list_ids(home))[_MOST - 1 :]:
        if owner_of(home, live_id) is None:
            shutil.rmtree(folder_of(home, live_id), ignore_errors=True)
    live = ProgressWriter(folder_of(home, uuid4().hex), kind=kind, path=path)
    live.write()
    return live


def list_ids(home: Path) -> Iterator[tuple[str, int]]:
    """Yield the runs that are known, the newest change first, and when that was."""
    with suppress(OSError):
        found = [
            (path.name, path.stat().st_mtime_ns)
            for path in (home / "pipelines" / "live").iterdir()
        ]
        yield from sorted(found, key=lambda each: each[1], reverse=True)


def get_live(home: Path, live_id: str) -> LiveRun:
    """Return a run as far as it has come."""
    folder = folder_of(home, live_id)
    record = _read(home, live_id)
    if record is None and _is_id(live_id) and (folder / STATE).exists():
        raise NotFoundError(
            f"The progress of run {live_id!r} is damaged or of another format.",
            fix=f"Delete its folder: {folder}.",
        )
    if record is None:
        raise NotFoundError(
            f"No pipeline run {mask(live_id[:80])!r} is known here.",
            fix=f"Only the newest {_MOST} are; older ones are in MLflow.",
        )
    is_dead = record["status"] == "RUNNING" and _is_dead(record)
    if is_dead:
        record |= {
            "status": "KILLED",
            "ended_at": (folder / STATE).stat().st_mtime,
            "problem": f"Its process ended{_last_words(folder)}.",
            "fix": "Run it again: it continues from what is done.",
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


def find_newest(
    home: Path, path: str, kind: Literal["pipeline", "step"]
) -> LiveRun | None:
    """Return the newest run of a file, relative to the project; None without one."""
    records = ((live_id, _read(home, live_id)) for live_id, _ in list_ids(home))
    begun = [
        (record["started_at"], live_id)
        for live_id, record in records
        if record is not None and (record["path"], record["kind"]) == (path, kind)
    ]
    with suppress(NotFoundError):  # removed meanwhile
        if begun:
            return get_live(home, max(begun)[1])
    return None


def owner_of(home: Path, live_id: str) -> ProcessId | None:
    """Return the process that runs it, when that lives."""
    record = _read(home, live_id)
    if record is None or record.get("ended_at") or _is_dead(record):
        return None
    return ProcessId.from_record(record)


def note_stopping(home: Path, live_id: str) -> None:
    """Note that somebody stops a run."""
    (folder_of(home, live_id) / _STOPPING).touch()


def _read(home: Path, live_id: str) -> dict[str, Any] | None:
    if not _is_id(live_id):
        return None
    record = read_record(folder_of(home, live_id) / STATE)
    is_whole = isinstance(record, dict) and record.keys() >= _NEEDED
    return record if is_whole else None


def _is_id(live_id: str) -> bool:
    return len(live_id) == 32 and set(live_id) <= _DIGITS


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
    owner = ProcessId.from_record(record)
    return owner is None or owner.is_dead(last_heartbeat=None, now=time.time())


def _last_words(folder: Path) -> str:
    with suppress(OSError):
        text = (folder / "log.txt").read_text("utf-8", "replace")[-5000:]
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if lines:
            return mask(f": {lines[-1][:300].rstrip('.')}")
    return ""


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
