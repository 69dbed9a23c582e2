"""What the checks of a pipeline file share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nbmlops.entities import Step
from nbmlops.execution.parameters.parameters import Parameter
from nbmlops.pipeline.spec.globs import PathPattern
from nbmlops.pipeline.spec.parser import Draft
from nbmlops.pipeline.spec.problems import Problem

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookSignature:
    """The parameters that a notebook declares, and the names that it emits."""

    declared: Mapping[str, Parameter] | None
    emitted: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationContext:
    """A draft, where its file is, and the problems found so far."""

    path: Path
    readable: tuple[Path, ...]
    draft: Draft
    problems: list[Problem]

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.readable[0]

    @property
    def folder(self) -> Path:
        """The folder that paths in the file are relative to."""
        return self.path.parent

    def fail(self, line: int, message: str) -> None:
        """Note what is wrong."""
        self.problems.append(Problem(line, message))

    def line(self, step: Step, key: str) -> int:
        """Return the line of a step's key."""
        return self.draft.lines_of[step.name].get(key, step.line)

    def inside(self, path: str, line: int, *, is_input: bool = False) -> Path | None:
        """Return the path, which is inside of the project, or None with a problem.

        An input may be in one of the other folders, too.
        """
        if _URL.match(path):
            self.fail(line, f"{path!r} is a URL, not a file of the project.")
            return None
        pattern = PathPattern(self.folder, path)
        folders = self.readable if is_input else self.readable[:1]
        roots = {root for each in folders for root in (each, each.resolve())}
        for seen in (pattern.path, pattern.base.resolve()):
            if not any(map(seen.is_relative_to, roots)):
                link = "" if seen == pattern.path else self._link_on(pattern.base)
                problem = f"{path!r} is {link}outside of the project"
                more = (
                    ": inputs may be in a folder that data_folders of [tool.nbmlops] "
                    "in pyproject.toml names"
                )
                self.fail(line, f"{problem}{more if is_input else ''}.")
                return None
        return pattern.path

    def _link_on(self, path: Path) -> str:
        """Return which link of the project leads elsewhere, and where to."""
        for each in reversed((path, *path.parents)):
            if each.is_relative_to(self.project) and each.is_symlink():
                name = "a link" if each == path else f"behind the link {each.name!r}"
                return f"{name} to {str(each.resolve())!r}, "
        return ""
