"""Runs in processes of their own: started, watched and stopped by who does not wait.

Such a process ends when the one that started it does, so that nothing goes on unseen;
what it has done is kept, and the same run goes on from there.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, cast
from uuid import uuid4

from nbmlops.config import Settings
from nbmlops.entities import LiveRun
from nbmlops.errors import ConflictError
from nbmlops.execution.progress import reader
from nbmlops.execution.progress.writer import ProgressWriter, folder_of
from nbmlops.processes import python_command, python_environ
from nbmlops.processes.process_id import ProcessId

_MODULE = "nbmlops.pipeline.background_main"


def launch(
    settings: Settings,
    kind: Literal["pipeline", "step"],
    file: Path,
    options: Mapping[str, object],
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
    task = {"folder": str(folder), "kind": kind, "file": str(file), "options": options}
    stdin = cast("Any", process.stdin)
    with suppress(OSError):  # it has ended, which whoever follows it sees
        pickle.dump(task, stdin)
        stdin.flush()
    return reader.get_live(settings.home, live_id)


def stop(settings: Settings, live_id: str) -> LiveRun:
    """Tell a run to stop, whoever started it; said twice, not to wait for its steps."""
    found = reader.get_live(settings.home, live_id)
    owner = reader.owner_of(settings.home, live_id)
    if owner is None:
        return found
    me = ProcessId.me()
    try:
        if (owner.host, owner.boot) != (me.host, me.boot):
            raise PermissionError
        reader.note_stopping(settings.home, live_id)
        os.kill(owner.pid, signal.SIGINT)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise ConflictError(
            f"The run of {found.path!r} belongs to another user or machine.",
            fix=f"Stop it there: process {owner.pid} on {owner.host}.",
        ) from error
    return reader.get_live(settings.home, live_id)
