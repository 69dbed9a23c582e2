"""papermill's own test notebooks by its engine and by ours, and what differs.

Each notebook of a folder is run by papermill's own engine, by ours in a fork and by
ours in a kernel. Compared are what the call raised, and of each cell its kind, source,
number, outputs, tags and state. Where an outcome differs it is printed, and is wrong
unless `better` says why it is not.

    git clone --depth 1 https://github.com/nteract/papermill
    python -m benchmarks.papermill_notebooks papermill/papermill/tests/notebooks
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.engines import papermill_engines

from nbmlops.execution.papermill_engine import Engine

ENGINES: dict[str, dict[str, Any]] = {
    "fork": {"engine_name": "nbmlops"},
    "kernel": {"engine_name": "nbmlops", "cold": True},
}
PARAMETERS = {
    "complex_parameters.ipynb": {"msg": "Hello", "a": 1.5},
    "nb_version_4.4.ipynb": {"var": "It works"},
    "no_parameters.ipynb": {"msg": "Hello"},
    "notimplemented_translator.ipynb": {"msg": "Hello"},
    "report_mode_test.ipynb": {"a": 0},
    "simple_execute.ipynb": {"msg": r'"Hello" \ do\ not\ crash'},
}
INTERRUPTED = {"keyboard_interrupt.ipynb": 4.0}
"""Seconds after which somebody presses Ctrl-C."""
AS_NAMED = ("notimplemented_translator.ipynb",)
"""Notebooks that keep their kernel, which is not installed; others get python3."""
_VARYING = re.compile(
    r"ipykernel_\d+|0x[0-9a-f]+|/tmp/\S+?(?=[\s'\"/:,)]|$)|\x1b\[[\d;]*m"
)


def run(
    source: Path, output: Path, folder: Path, engine: dict[str, Any]
) -> dict[str, Any]:
    """Return what became of a notebook."""
    seconds = INTERRUPTED.get(source.name, 0)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    raised = ""
    try:
        papermill.execute_notebook(
            source,
            output,
            parameters=PARAMETERS.get(source.name, {}),
            cwd=folder,
            kernel_name=None if source.name in AS_NAMED else "python3",
            progress_bar=False,
            report_mode=source.name.startswith("report_mode"),
            **engine,
        )
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - any is an outcome
        raised = _clean(f"{type(error).__name__}: {error}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if not output.exists():
        return {"raised": raised, "notebook": "none is written"}
    notebook = nbformat.read(output, 4)
    try:
        nbformat.validate(notebook)
        validity = "valid"
    except nbformat.ValidationError as error:
        validity = str(error).partition("\n")[0]
    told = notebook.metadata.get("papermill", {})
    return {
        "raised": raised,
        "notebook": validity,
        "metadata": sorted(notebook.metadata),
        "kernel": notebook.metadata.get("kernelspec"),
        "language": notebook.metadata.get("language_info"),
        "told": sorted(told),
        "exception": told.get("exception"),
        "parameters": told.get("parameters"),
        "cells": [_seen(cell) for cell in notebook.cells],
    }


def _seen(cell: Any) -> dict[str, Any]:  # noqa: ANN401 - nbformat ships no types
    state = cell.metadata.get("papermill", {})
    return {
        "kind": cell.cell_type,
        "source": cell.source,
        "number": cell.get("execution_count"),
        "outputs": json.loads(_clean(json.dumps(_merged(cell.get("outputs", []))))),
        "tags": cell.metadata.get("tags"),
        "hidden": cell.metadata.get("jupyter"),
        "metadata": sorted(cell.metadata),
        "state": sorted(state),
        "status": state.get("status"),
        "exception": state.get("exception"),
        "ended": state.get("end_time") is not None,
    }


def _merged(outputs: list[Any]) -> list[Any]:
    found: list[Any] = []
    for output in outputs:
        stream = output.get("name")
        if found and stream and found[-1].get("name") == stream:
            found[-1]["text"] += output.text
        else:
            found.append(dict(output))
    return found


def _clean(text: str) -> str:
    return _VARYING.sub("…", text)


def differences(
    theirs: dict[str, Any], ours: dict[str, Any], where: str = ""
) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield where, what, papermill's and ours."""
    for what in theirs | ours:
        one, other = theirs.get(what), ours.get(what)
        if what == "cells" and one and other and len(one) == len(other):
            for index, pair in enumerate(zip(one, other, strict=True)):
                yield from differences(*pair, where=f"cell {index}")
        elif one != other:
            yield where or "notebook", what, one, other


def better(source: Path, what: str, theirs: object, ours: object) -> str:
    """Return why ours is better, or ""."""
    if source.name in INTERRUPTED:
        if (what, theirs, ours) in (
            ("status", "completed", "failed"),
            ("exception", False, True),
            ("exception", None, True),
        ):
            return "the cell that was interrupted is not `completed`"
        if what == "language":
            return "it says which Python ran it, not which one ran it years ago"
    if source.name in AS_NAMED and (what, theirs, ours) == (
        *("status", "completed", "pending"),
    ):
        return "no cell was run, so none is `completed`, as it was in the source"
    return ""


def main() -> int:
    """Run what was asked for, print it, and return 1 where ours is worse."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="*.ipynb", help="pattern of names")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    papermill_engines.register("nbmlops", Engine)
    sources = sorted(asked.folder.resolve().rglob(asked.only))
    n_same = n_better = n_worse = 0
    with tempfile.TemporaryDirectory() as scratch:
        for source in sources:
            folder = Path(scratch, "there")
            shutil.copytree(source.parent, folder, dirs_exist_ok=True)
            (folder / "check.txt").touch()
            os.chdir(folder)
            theirs = run(source, Path(scratch, "theirs.ipynb"), folder, {})
            for name, engine in ENGINES.items():
                ours = run(source, Path(scratch, f"{name}.ipynb"), folder, engine)
                found = list(differences(theirs, ours))
                reasons = [better(source, *each[1:]) for each in found]
                is_worse = not all(reasons)
                n_worse += is_worse
                n_better += bool(found) and not is_worse
                n_same += not found
                verdict = "differs" if is_worse else "better" if found else "same"
                print(f"{source.name:34} {name:6} {verdict}", flush=True)
                for (where, what, one, other), why in zip(found, reasons, strict=True):
                    print(f"    {where}, {what}: {why}\n      {one!r}\n      {other!r}")
            for path in (*Path(scratch).glob("*.ipynb"), folder):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            os.chdir("/")
    print(f"{n_same} the same, {n_better} better, {n_worse} not the same")
    return int(n_worse > 0)


if __name__ == "__main__":
    sys.exit(main())
