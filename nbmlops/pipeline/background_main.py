"""The process of a run that `nbmlops.pipeline.background` started."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from nbmlops.entities import StepReport
from nbmlops.entities.pipeline import StepState
from nbmlops.errors import NbmlopsError, NotebookError
from nbmlops.execution.progress.writer import ProgressWriter, notebook_file, report_to
from nbmlops.execution.subprocess_run import run_in_subprocess
from nbmlops.pipeline.pipeline import Pipeline
from nbmlops.pipeline.runner.messages import WORKER


def main() -> None:
    """Run what stdin asks for, and end with whoever asked for it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        task: dict[str, Any] = pickle.load(sys.stdin.buffer)  # noqa: S301 - our starter
    except EOFError:
        return
    threading.Thread(target=_watch, name="nbmlops starter", daemon=True).start()
    file = Path(task["file"])
    name = os.path.relpath(file)
    live = ProgressWriter(
        Path(task["folder"]), kind=task["kind"], path=name, keeps_notebooks=True
    )
    try:
        if task["kind"] == "pipeline":
            loaded = Pipeline.load(file)
            loaded.run(live=live, say=_say, **task["options"])
        else:
            _run_step(file, live, task["options"])
    except NbmlopsError as error:
        _say(str(error))
        if not live.has_ended:
            live.end(
                "FAILED",
                run_id=getattr(error, "run_id", None),
                problem=error.problem,
                fix=error.fix,
            )
    except KeyboardInterrupt:
        if not live.has_ended:
            live.end("KILLED", problem="It was stopped.")
    except Exception as error:
        traceback.print_exc()
        if not live.has_ended:
            live.end("FAILED", problem=f"{type(error).__name__}: {error}.")
        raise


def _run_step(file: Path, live: ProgressWriter, options: dict[str, Any]) -> None:
    name = file.stem
    live.start(name, "")

    def settle(state: StepState, why: str, run_id: str | None) -> None:
        live.settle(StepReport(step=name, state=state, why=why, run_id=run_id))

    try:
        done = run_in_subprocess(
            file,
            worker=WORKER,
            output=notebook_file(live.folder, name),
            on_progress=report_to(live.folder, name),
            **options,
        )
    except NotebookError as error:
        settle("failed", error.problem, error.run_id)
        raise
    except KeyboardInterrupt:
        settle("stopped", "it was stopped", None)
        raise
    settle("done", "", done.run_id)
    live.end("FINISHED", run_id=done.run_id)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _watch() -> None:
    """Be told to go when the one that started this process is gone."""
    os.read(0, 1)  # not through sys.stdin, whose lock is needed at the end
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
