"""What a pipeline file's checks of notebooks, files and steps stand on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nbmlops.entities import Step
from nbmlops.pipeline.digests import files_below
from nbmlops.pipeline.faults import Fault
from nbmlops.pipeline.parameters import Parameter
from nbmlops.pipeline.shape import Draft

GLOB = re.compile(r"[*?\[]")
"""What makes a path a pattern."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is known of a step's notebook.

    Attributes
    ----------
    declared : dict of str to Parameter or None
        As `nbmlops.pipeline.notebook.parameters`.
    emitted : frozenset of str
        Names it emits; ``*`` when there may be others.
    """

    declared: Mapping[str, Parameter] | None
    emitted: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A draft, where its file is, and the faults found so far.

    Attributes
    ----------
    path : Path
        The pipeline file.
    project : Path
        The project's folder.
    draft : Draft
        What the file says.
    faults : list of Fault
        What is wrong is added here.
    """

    path: Path
    project: Path
    draft: Draft
    faults: list[Fault]

    @property
    def folder(self) -> Path:
        """The folder that paths in the file are relative to."""
        return self.path.parent

    def fault(self, line: int, problem: str) -> None:
        """Note what is wrong."""
        self.faults.append(Fault(line, problem))

    def line(self, step: Step, key: str) -> int:
        """Return where a key of a step stands."""
        return self.draft.lines_of[step.name].get(key, step.line)

    def inside(self, path: str, line: int) -> Path | None:
        """Return the path, which is inside of the project, or None."""
        if _URL.match(path):
            self.fault(line, f"{path!r} is a URL, not a file of the project.")
            return None
        whole = Path(os.path.normpath(self.folder / path))
        fixed = Path(GLOB.split(str(whole))[0]) if not whole.exists() else whole
        root = self.project.resolve()
        for seen in (whole, fixed.resolve()):
            is_inside = seen.is_relative_to(self.project) or seen.is_relative_to(root)
            if not is_inside:
                self.fault(line, f"{path!r} is outside of the project.")
                return None
        return whole


def iter_input(folder: Path, text: str) -> Iterator[Path]:
    """Yield the files that an input stands for, in order.

    Parameters
    ----------
    folder : Path
        The pipeline file's folder.
    text : str
        A file, a folder with all below it, or a pattern; what is there under that very
        name is no pattern.

    Yields
    ------
    Path
        Existing files.
    """
    path = folder / text
    if path.exists() or not GLOB.search(text):
        yield from files_below(path)
        return
    at = next(n for n, part in enumerate(Path(text).parts) if GLOB.search(part))
    parts = Path(text).parts
    base = folder.joinpath(*parts[:at])
    try:
        found = sorted(base.glob("/".join(parts[at:])))
    except (ValueError, NotImplementedError):
        return
    for each in found:
        yield from files_below(each)
