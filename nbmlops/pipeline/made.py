"""The files that a step is to make, and whether it made them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nbmlops.entities import Step
from nbmlops.pipeline.digests import files_below

Stamps = Mapping[Path, tuple[int, int]]
"""Time and inode of each file."""


def stamps(step: Step, folder: Path) -> Stamps:
    """Return what tells whether the outputs of a step are written again.

    Parameters
    ----------
    step : Step
        The step.
    folder : Path
        What its outputs are relative to.

    Returns
    -------
    Stamps
        Of the files that are there.
    """
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for output in step.outputs
        for path in files_below(folder / output)
    }


def missing(step: Step, folder: Path, before: Stamps) -> list[str]:
    """Return in words which outputs a step has not made.

    Parameters
    ----------
    step : Step
        The step.
    folder : Path
        What its outputs are relative to.
    before : Stamps
        As `stamps` returned them before the step ran.

    Returns
    -------
    list of str
        Empty when it made all; of a folder at least one file.
    """
    after = stamps(step, folder)
    told = []
    for output in step.outputs:
        files = list(files_below(folder / output))
        if not files:
            told.append(f"{output!r} is not there")
        elif all(before.get(path) == after[path] for path in files):
            told.append(f"{output!r} was there before and was not written")
    return told
