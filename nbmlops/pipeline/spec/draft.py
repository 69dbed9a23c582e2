"""A pipeline file as far as it was read, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbmlops.entities import Step, Trigger
from nbmlops.execution.parameters.parameters import Parameter
from nbmlops.pipeline.spec.globs import PathPattern
from nbmlops.pipeline.spec.yaml_lines import Located, Problem

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookSignature:
    """The parameters that a notebook declares, and the names that it emits."""

    declared: Mapping[str, Parameter] | None
    emitted: frozenset[str]


@dataclass(slots=True, kw_only=True)
class SpecDraft:
    """The parts of a pipeline file that could be read, and all problems so far."""

    path: Path
    readable: tuple[Path, ...]
    problems: list[Problem] = field(default_factory=list)
    name: str | None = None
    experiment: str | None = None
    params: dict[str, Located] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    bodies: dict[str, dict[str, Located]] = field(default_factory=dict)
    triggers: list[Trigger] = field(default_factory=list)
    watched: dict[str, int] = field(default_factory=dict)

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
        found = self.bodies[step.name].get(key)
        return found.line if found else step.line

    def lines(self, step: Step, key: str) -> dict[str, int]:
        """Return the lines of the texts below a step's key."""
        body = self.bodies[step.name]
        return body[key].lines() if key in body else {}

    def located(self, step: Step, key: str) -> dict[str, Located]:
        """Return what is below one of a step's mappings, as far as it is valid."""
        valid: Mapping[str, object] = getattr(step, key)
        return {name: self.bodies[step.name][key].value[name] for name in valid}

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
