"""Whether the steps of a pipeline file fit their notebooks, files and each other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Any

from nbmlops.entities import Step
from nbmlops.errors import NbmlopsError, did_you_mean
from nbmlops.pipeline.digests import Digests, files_below
from nbmlops.pipeline.faults import Fault
from nbmlops.pipeline.glance import glance, kernel_of, read_kernel
from nbmlops.pipeline.imports import read_imports
from nbmlops.pipeline.notebook import (
    check_parameters,
    code_sources,
    find_notebook,
    language,
    parameters,
)
from nbmlops.pipeline.parameters import Parameter
from nbmlops.pipeline.shape import Draft
from nbmlops.pipeline.templates import has_template, references

_GLOB = re.compile(r"[*?\[]")
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


class Wiring:
    """Looks at what the steps name.

    Parameters
    ----------
    path : Path
        The pipeline file.
    project : Path
        The project's folder.
    digests : Digests
        Remembers what modules import.
    draft : Draft
        What the file says.
    faults : list of Fault
        What is wrong is added here.
    """

    def __init__(
        self,
        path: Path,
        project: Path,
        digests: Digests,
        draft: Draft,
        faults: list[Fault],
    ) -> None:
        self._path, self._folder, self._project = path, path.parent, project
        self._digests, self._draft, self._faults = digests, draft, faults
        self._steps = draft.steps
        self.looks: dict[str, Look] = {}

    def check(self) -> tuple[Step, ...]:
        """Return the steps in an order they can run in, their needs complete."""
        for step in self._steps.values():
            if step.notebook is not None:
                self._look(step)
        made_by = self._outputs()
        needs = {step.name: self._needs(step, made_by) for step in self._steps.values()}
        for step in self._steps.values():
            if step.name in self.looks:
                self._params(step, self.looks[step.name])
        self._shared_params()
        for trigger in self._draft.triggers:
            for path in trigger.options.get("paths", ()):  # type: ignore[attr-defined]
                self._inside(path, 1)
        order = self._order(needs)
        return tuple(
            replace(self._steps[name], needs=tuple(needs[name])) for name in order
        )

    def _fault(self, line: int, problem: str) -> None:
        self._faults.append(Fault(line, problem))

    def _line(self, step: Step, key: str) -> int:
        return self._draft.lines_of[step.name].get(key, step.line)

    def _look(self, step: Step) -> None:
        line = self._line(step, "notebook")
        if step.kernel is not None:
            self._kernel(step, step.kernel)
        path = self._inside(str(step.notebook), line)
        if path is None:
            return
        try:
            notebook = glance(find_notebook(path))
        except NbmlopsError as error:
            problem = error.problem.replace(str(path), str(step.notebook))
            self._fault(line, problem)
            return
        if step.kernel is None:
            self._kernel(step, kernel_of(notebook))
        emitted = frozenset({"*"})
        if language(notebook).lower() == "python":
            emitted = read_imports(
                code_sources(notebook),
                folder=path.parent,
                project=self._project,
                digests=self._digests,
            ).emitted
        try:
            self.looks[step.name] = Look(declared=parameters(notebook), emitted=emitted)
        except NbmlopsError as error:
            self._fault(line, f"{step.notebook}: {error.problem}")

    def _kernel(self, step: Step, name: str) -> None:
        try:
            read_kernel(name)
        except NbmlopsError as error:
            self._fault(self._line(step, "kernel"), error.problem)

    def _inside(self, path: str, line: int) -> Path | None:
        """Return the path, which is inside of the project, or None."""
        if _URL.match(path):
            self._fault(line, f"{path!r} is a URL, not a file of the project.")
            return None
        whole = Path(os.path.normpath(self._folder / path))
        fixed = Path(_GLOB.split(str(whole))[0]) if not whole.exists() else whole
        root = self._project.resolve()
        for seen in (whole, fixed.resolve()):
            is_inside = seen.is_relative_to(self._project) or seen.is_relative_to(root)
            if not is_inside:
                self._fault(line, f"{path!r} is outside of the project.")
                return None
        return whole

    def _outputs(self) -> dict[Path, str]:
        made_by: dict[Path, str] = {}
        notebooks = {
            Path(os.path.normpath(self._folder / step.notebook))
            for step in self._steps.values()
            if step.notebook
        }
        for step in self._steps.values():
            for output in step.outputs:
                line = self._draft.paths_of[step.name][output]
                path = self._inside(output, line)
                if path is None:
                    continue
                kept = (self._project / ".nbmlops", self._project / ".git")
                is_source = path in notebooks or path == self._path
                if is_source or any(path.is_relative_to(each) for each in kept):
                    self._fault(line, f"{output!r} is not to be written by a step.")
                if _GLOB.search(output) and not path.exists():
                    self._fault(line, f"Output {output!r} is a pattern, not a file.")
                if path in (self._folder, self._project) or self._path.is_relative_to(
                    path
                ):
                    self._fault(line, f"{output!r} holds the pipeline itself.")
                other = _overlap(path, made_by)
                if other is not None and other != step.name:
                    self._fault(
                        line,
                        f"Steps {other!r} and {step.name!r} both write {output!r}.",
                    )
                made_by.setdefault(path, step.name)
        return made_by

    def _needs(self, step: Step, made_by: Mapping[Path, str]) -> list[str]:
        needs: dict[str, None] = {}
        line = self._line(step, "needs")
        for name in step.needs:
            if self._is_step(name, line, f"Step {step.name!r} needs"):
                needs[name] = None
        for text in step.inputs:
            needs |= dict.fromkeys(self._makers(step, text, made_by))
        for located in self._draft.params_of[step.name].values():
            for scalar in located.scalars():
                if has_template(scalar.value):
                    for name in self._template(step, scalar.value, scalar.line):
                        needs[name] = None
        if step.action is not None:
            source = self._action_source(step)
            if source is not None:
                needs[source] = None
        return list(needs)

    def _is_step(self, name: str, line: int, what: str) -> bool:
        if name in self._steps:
            return True
        self._fault(
            line, f"{what} {name!r}, which is no step.{did_you_mean(name, self._steps)}"
        )
        return False

    def _makers(self, step: Step, text: str, made_by: Mapping[Path, str]) -> list[str]:
        """Return the steps that make an input; a fault when nothing is there."""
        line = self._draft.paths_of[step.name][text]
        path = self._inside(text, line)
        if path is None:
            return []
        makers = [
            maker
            for made, maker in made_by.items()
            if path == made
            or path.is_relative_to(made)
            or made.is_relative_to(path)
            or (_GLOB.search(text) and fnmatchcase(str(made), str(path)))
        ]
        if step.name in makers:
            self._fault(line, f"Step {step.name!r} reads {text!r}, which it writes.")
        others = [name for name in dict.fromkeys(makers) if name != step.name]
        for maker in map(self._steps.__getitem__, others):
            if maker.grid and maker.select is None:
                self._fault(
                    line,
                    f"{text!r} is written by each run of the grid of {maker.name!r}: "
                    "it needs a select.",
                )
        if not makers and next(iter_input(self._folder, text), None) is None:
            near = did_you_mean(
                path.name,
                [p.name for p in (*_siblings(path), *made_by)],
            )
            what = "No file fits" if _GLOB.search(text) else "No file"
            self._fault(line, f"{what} {text!r}.{near}")
        return others

    def _action_source(self, step: Step) -> str | None:
        action = step.action
        assert action is not None  # noqa: S101
        line = self._line(step, action.kind)
        name = action.source
        if name is None and action.kind == "deploy" and "model" not in action.options:
            found = [
                other.name
                for other in self._steps.values()
                if other.action is not None and other.action.kind == "register"
            ]
            if len(found) != 1:
                self._fault(
                    line, "The deploy does not say what: give `from` or `model`."
                )
                return None
            name = found[0]
            self._steps[step.name] = replace(step, action=replace(action, source=name))
        if name is None or not self._is_step(name, line, f"The {action.kind} is from"):
            return None
        other = self._steps[name]
        wanted = "register" if action.kind == "deploy" else None
        if (other.action.kind if other.action else None) != wanted:
            what = "a step that registers" if wanted else "a notebook"
            self._fault(
                line, f"The {action.kind} is from {name!r}, which is not {what}."
            )
        elif other.grid and other.select is None:
            self._fault(line, f"Step {name!r} has a grid: it needs a select.")
        return name

    def _template(self, step: Step, text: str, line: int) -> Iterator[str]:
        """Yield the steps that the templates of a text name."""
        found = list(references(text))
        if text.count("${{") != len(found):
            self._fault(line, f"A template in {text[:60]!r} has no end.")
        for reference in found:
            if (problem := reference.fault()) is not None:
                self._fault(line, problem)
                continue
            name = reference.step
            if not self._is_step(name, line, "The template names"):
                continue
            yield name
            other = self._steps[name]
            if other.grid and other.select is None:
                self._fault(line, f"Step {name!r} has a grid: it needs a select.")
            known: Iterable[str] | None = None
            first = reference.name.partition(".")[0]
            look = self.looks.get(name)
            if reference.kind == "params" and look is not None:
                known = look.declared or {}
            elif reference.kind == "values":
                if other.action is not None:
                    known = {"register": ("version", "model"), "deploy": ("url",)}[
                        other.action.kind
                    ]
                elif look is not None and "*" not in look.emitted:
                    known = look.emitted
            if known is not None and first not in known:
                near = did_you_mean(first, known)
                says = f"emits no {first!r}" if reference.kind == "values" else (
                    f"has no param {first!r}"
                )  # fmt: skip
                self._fault(line, f"Step {name!r} {says}.{near}")

    def _params(self, step: Step, look: Look) -> None:
        """Check each param of a step against what the notebook declares."""
        given = {
            name: (located.line, [located.plain()])
            for name, located in self._draft.params_of[step.name].items()
        } | {
            name: (located.line, list(step.grid[name]))
            for name, located in self._draft.grid_of[step.name].items()
        }
        optional = {
            name: replace(each, default_source=each.default_source or "...")
            for name, each in (look.declared or {}).items()
        }
        for name, (line, values) in given.items():
            for value in values:
                open_ended = _is_open(value)
                if open_ended and name in optional:
                    continue
                try:
                    declared = None if look.declared is None else optional
                    check_parameters(declared, {name: None if open_ended else value})
                except NbmlopsError as error:
                    self._fault(line, f"Step {step.name!r}: {error.problem}")
        shared = self._draft.params
        for name, parameter in (look.declared or {}).items():
            if name in given:
                continue
            if name in shared:
                try:
                    check_parameters(optional, {name: shared[name].plain()})
                except NbmlopsError as error:
                    problem = f"For step {step.name!r}: {error.problem}"
                    self._fault(shared[name].line, problem)
            elif not parameter.default_source:
                self._fault(
                    step.line,
                    f"Step {step.name!r}: parameter {name!r} has no default and is not "
                    "given.",
                )

    def _shared_params(self) -> None:
        known = {name for look in self.looks.values() for name in look.declared or {}}
        unread = len(self.looks) < sum(bool(s.notebook) for s in self._steps.values())
        for name, located in self._draft.params.items():
            if name not in known and not unread:
                near = did_you_mean(name, known)
                self._fault(located.line, f"No step has a parameter {name!r}.{near}")

    def _order(self, needs: Mapping[str, list[str]]) -> list[str]:
        left = {name: set(before) for name, before in needs.items()}
        while True:
            try:
                order = list(TopologicalSorter(left).static_order())
            except CycleError as error:
                around: list[str] = error.args[1]
                first = min(around, key=lambda name: self._steps[name].line)
                turned = [*around[:-1], *around[:-1]]
                at = turned.index(first)
                shown = [*reversed(turned[at + 1 : at + len(around) - 1]), first]
                self._fault(
                    self._steps[first].line,
                    f"The steps go round in a circle: {' -> '.join([first, *shown])}.",
                )
                for one, other in pairwise(around):
                    left[one].discard(other)
                    left[other].discard(one)
            else:
                break
        place = {name: n for n, name in enumerate(self._steps)}
        done: list[str] = []
        waiting = sorted(order, key=place.__getitem__)
        while waiting:  # the order of the file, as far as it can be kept
            ready = next(name for name in waiting if left[name] <= set(done))
            done.append(ready)
            waiting.remove(ready)
        return done


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
    if path.exists() or not _GLOB.search(text):
        yield from files_below(path)
        return
    at = next(n for n, part in enumerate(Path(text).parts) if _GLOB.search(part))
    parts = Path(text).parts
    base = folder.joinpath(*parts[:at])
    try:
        found = sorted(base.glob("/".join(parts[at:])))
    except (ValueError, NotImplementedError):
        return
    for each in found:
        yield from files_below(each)


def _overlap(path: Path, made_by: Mapping[Path, str]) -> str | None:
    for other, name in made_by.items():
        if path.is_relative_to(other) or other.is_relative_to(path):
            return name
    return None


def _siblings(path: Path) -> list[Path]:
    try:
        return sorted(path.parent.iterdir())[:1000]
    except OSError:
        return []


def _is_open(value: Any) -> bool:  # noqa: ANN401
    """Return whether a value is known only when the steps before have run."""
    match value:
        case str():
            return has_template(value)
        case list():
            return any(map(_is_open, value))
        case dict():
            return any(map(_is_open, value.values()))
    return False
