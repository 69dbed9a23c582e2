"""What a pipeline file's checks of notebooks, files and steps stand on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nbmlops.entities import Step
from nbmlops.pipeline.faults import Fault
from nbmlops.pipeline.globs import PathPattern
from nbmlops.pipeline.parameters import Parameter
from nbmlops.pipeline.shape import Draft

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
        pattern = PathPattern(self.folder, path)
        whole, root = pattern.path, self.project.resolve()
        for seen in (whole, pattern.base.resolve()):
            is_inside = seen.is_relative_to(self.project) or seen.is_relative_to(root)
            if not is_inside:
                self.fault(line, f"{path!r} is outside of the project.")
                return None
        return whole
