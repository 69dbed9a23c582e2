"""Runs in processes of their own, for a server that does not wait for them.

Such a process ends when the one that started it does. What it has done is kept, and the
same run goes on from there.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, cast
from uuid import uuid4

from nbmlops.config import Settings
from nbmlops.entities import LiveRun, StepReport
from nbmlops.entities.pipeline import StepState
from nbmlops.errors import ConflictError, NbmlopsError, NotebookError
from nbmlops.execution.progress import reader
from nbmlops.execution.progress.writer import (
    ProgressWriter,
    folder_of,
    notebook_file,
    report_to,
)
from nbmlops.pipeline.pipeline import Pipeline
from nbmlops.pipeline.runner import worker_process
from nbmlops.processes import python_command, python_environ
from nbmlops.processes.process_id import ProcessId

_MODULE = __name__  # as it is imported: the process itself runs it as __main__


def launch(
    settings: Settings,
    kind: Literal["pipeline", "step"],
    file: Path,
    options: Mapping[str, object],
    *,
    pipeline: type[Pipeline] = Pipeline,
) -> LiveRun:
    """Start a run in a process of its own, and return it without waiting."""
    name = os.path.relpath(file, settings.project)
    newest = reader.find_newest(settings.home, name, kind)
    if newest is not None and newest.status == "RUNNING":
        raise ConflictError(
            f"A run of {name!r} is under way.", fix="Wait for its end, or stop it."
        )
    live_id = uuid4().hex
    folder = folder_of(settings.home, live_id)
    folder.mkdir(parents=True)
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module
            python_command(_MODULE),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=settings.project,
            env=python_environ(os.environ, settings.project),
            start_new_session=True,  # Ctrl-C at the server is the server's to pass on
        )
    # Someone has to take note when it ends, and to hold the pipe until then.
    threading.Thread(target=process.wait, name="nbmlops run", daemon=True).start()
    owner = ProcessId.of(process.pid)
    ProgressWriter(folder, kind=kind, path=name, owner=owner).write()
    task = {"folder": folder, "kind": kind, "file": file, "options": options}
    stdin = cast("Any", process.stdin)
    with suppress(OSError):  # it has ended, which its progress shows
        pickle.dump({**task, "pipeline": pipeline}, stdin)
        stdin.flush()
    return reader.get_live(settings.home, live_id)


def stop(settings: Settings, live_id: str) -> LiveRun:
    """Interrupt a run; the second time, do not wait for its steps."""
    found = reader.get_live(settings.home, live_id)
    owner = reader.owner_of(settings.home, live_id)
    if owner is None:
        return found
    me = ProcessId.me()
    try:
        if (owner.host, owner.boot) != (me.host, me.boot):
            raise PermissionError
        reader.note_stopping(settings.home, live_id)
        # Two interrupts that are sent at once can arrive as one.
        is_second = found.is_stopping and found.kind == "pipeline"
        os.kill(owner.pid, signal.SIGTERM if is_second else signal.SIGINT)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise ConflictError(
            f"The run of {found.path!r} belongs to another user or machine.",
            fix=f"Stop it there: process {owner.pid} on {owner.host}.",
        ) from error
    return reader.get_live(settings.home, live_id)


def _main() -> None:
    """Run what stdin asks for, and end with the process that asked."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        task: dict[str, Any] = pickle.load(sys.stdin.buffer)  # noqa: S301 - our starter
    except EOFError:
        return
    threading.Thread(target=_end_with_starter, daemon=True).start()
    file, kind = task["file"], task["kind"]
    name = os.path.relpath(file)
    progress = ProgressWriter(
        task["folder"], kind=kind, path=name, keeps_notebooks=True
    )
    ending: dict[str, Any] = {}
    try:
        if kind == "pipeline":
            loaded = task["pipeline"].load(file)
            loaded.run(progress=progress, say=_say, **task["options"])
        else:
            _run_step(file, progress, task["options"])
    except NbmlopsError as error:
        _say(str(error))
        ending = {"problem": error.problem, "fix": error.fix}
        ending |= {"status": "FAILED", "run_id": getattr(error, "run_id", None)}
    except KeyboardInterrupt:
        ending = {"status": "KILLED", "problem": "It was stopped."}
    except Exception as error:
        traceback.print_exc()
        ending = {"status": "FAILED", "problem": f"{type(error).__name__}: {error}."}
        raise
    finally:
        if ending and not progress.has_ended:
            progress.end(**ending)


def _run_step(file: Path, progress: ProgressWriter, options: dict[str, Any]) -> None:
    from nbmlops.execution.subprocess_run import run_in_subprocess

    name = file.stem
    progress.start(name, "")

    def finish(state: StepState, why: str, run_id: str | None) -> None:
        progress.set_report(StepReport(step=name, state=state, why=why, run_id=run_id))

    try:
        done = run_in_subprocess(
            file,
            worker=worker_process.__name__,
            output=notebook_file(progress.folder, name),
            on_progress=report_to(progress.folder, name),
            **options,
        )
    except NotebookError as error:
        finish("failed", error.problem, error.run_id)
        raise
    except KeyboardInterrupt:
        finish("stopped", "it was stopped", None)
        raise
    finish("done", "", done.run_id)
    progress.end("FINISHED", run_id=done.run_id)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _end_with_starter() -> None:
    os.read(0, 1)  # not through sys.stdin, whose lock is needed at the end
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    _main()
