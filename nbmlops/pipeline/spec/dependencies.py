"""Which steps come before which, and whether what passes between them is there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

from nbmlops.entities import Step
from nbmlops.errors import did_you_mean
from nbmlops.pipeline.cache.outputs import find_link
from nbmlops.pipeline.spec.draft import NotebookSignature, SpecDraft
from nbmlops.pipeline.spec.globs import GLOB, PathPattern
from nbmlops.pipeline.spec.templates import has_template, references


class DependencyResolver:
    """Finds the needs of steps."""

    def __init__(
        self, draft: SpecDraft, signatures: Mapping[str, NotebookSignature]
    ) -> None:
        self._draft, self._signatures = draft, signatures
        self._steps, self._fail = draft.steps, draft.fail
        self._folders: set[Path] = set()  # outputs that say so by a slash at the end

    def order(self) -> tuple[Step, ...]:
        """Return the steps in an order they can run in, their needs complete."""
        made_by = self._outputs()
        needs = {step.name: self._needs(step, made_by) for step in self._steps.values()}
        return tuple(
            replace(self._steps[name], needs=tuple(needs[name]))
            for name in self._order(needs)
        )

    def _outputs(self) -> dict[Path, str]:
        made_by: dict[Path, str] = {}
        sources = {
            Path(os.path.normpath(self._draft.folder / step.notebook))
            for step in self._steps.values()
            if step.notebook
        }
        for step in self._steps.values():
            lines = self._draft.lines(step, "outputs")
            for output in step.outputs:
                line = lines[output]
                path = self._draft.inside(output, line)
                if path is None:
                    continue
                self._check_output(path, output, line, sources)
                other = _overlap(path, made_by)
                if other is not None and other != step.name:
                    problem = (
                        f"Steps {other!r} and {step.name!r} both write {output!r}."
                    )
                    self._fail(line, problem)
                made_by.setdefault(path, step.name)
                if output.endswith("/"):
                    self._folders.add(path)
        return made_by

    def _check_output(
        self, path: Path, output: str, line: int, sources: set[Path]
    ) -> None:
        draft = self._draft
        ours = (draft.project / ".nbmlops", draft.project / ".git")
        if path in {*sources, draft.path} or any(map(path.is_relative_to, ours)):
            self._fail(line, f"{output!r} is not to be written by a step.")
        if GLOB.search(output):
            self._fail(line, f"Output {output!r} is a pattern, not a file.")
        if path == draft.project or draft.path.is_relative_to(path):
            self._fail(line, f"{output!r} holds the pipeline itself.")
        if (link := find_link(path, draft.folder)) is not None:
            shown = os.path.relpath(link, draft.folder)
            self._fail(
                line,
                f"Output {output!r} is behind the link {shown!r}: name where that "
                "leads.",
            )

    def _needs(self, step: Step, made_by: Mapping[Path, str]) -> list[str]:
        needs: dict[str, None] = {}
        line = self._draft.line(step, "needs")
        for name in step.needs:
            if self._is_step(name, line, f"Step {step.name!r} needs"):
                needs[name] = None
        for text in step.inputs:
            needs |= dict.fromkeys(self._makers(step, text, made_by))
        for located in self._draft.located(step, "params").values():
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
        self._fail(
            line, f"{what} {name!r}, which is no step.{did_you_mean(name, self._steps)}"
        )
        return False

    def _makers(self, step: Step, text: str, made_by: Mapping[Path, str]) -> list[str]:
        """Return the steps that make an input; a problem when nothing is there."""
        line = self._draft.lines(step, "inputs")[text]
        path = self._draft.inside(text, line, is_input=True)
        if path is None:
            return []
        pattern = PathPattern(self._draft.folder, text)
        makers: dict[str, None] = {}
        possible: dict[str, None] = {}
        for made, maker in made_by.items():
            is_near = pattern.may_fit_below(made)
            is_sure = pattern.base.is_relative_to(made) or pattern.fits(made)
            if is_sure or (is_near and made in self._folders):
                makers[maker] = None
            elif is_near and not made.suffix:  # a folder, as far as its name says
                possible[maker] = None
            elif is_near and made.is_dir():
                self._fail(
                    line,
                    f"{text!r} may fit files below {made.name!r}, a folder with a "
                    f"suffix that {maker!r} writes: end that output with a slash.",
                )
        if step.name in makers:
            self._fail(line, f"Step {step.name!r} reads {text!r}, which it writes.")
        for other in map(self._steps.__getitem__, makers):
            if other.grid and other.select is None and other.name != step.name:
                self._fail(
                    line,
                    f"{text!r} is written by each run of the grid of {other.name!r}: "
                    "it needs a select.",
                )
        if not (makers or possible or any(pattern.files())):
            near = did_you_mean(
                path.name, [p.name for p in (*_siblings(path), *made_by)]
            )
            what = "No file fits" if pattern.is_glob else "No file"
            self._fail(line, f"{what} {text!r}.{near}")
        return [name for name in makers | possible if name != step.name]

    def _action_source(self, step: Step) -> str | None:
        action = step.action
        assert action is not None  # noqa: S101
        line = self._draft.line(step, action.kind)
        name = action.source
        if name is None and action.kind == "deploy" and "model" not in action.options:
            found = [
                other.name
                for other in self._steps.values()
                if other.action is not None and other.action.kind == "register"
            ]
            if len(found) != 1:
                self._fail(
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
            self._fail(
                line, f"The {action.kind} is from {name!r}, which is not {what}."
            )
        elif other.grid and other.select is None:
            self._fail(line, f"Step {name!r} has a grid: it needs a select.")
        return name

    def _template(self, step: Step, text: str, line: int) -> Iterator[str]:
        """Yield the steps that the templates of a text name."""
        found = list(references(text))
        if text.count("${{") != len(found):
            self._fail(line, f"A template in {text[:60]!r} has no end.")
        for reference in found:
            if (problem := reference.problem()) is not None:
                self._fail(line, problem)
                continue
            name = reference.step
            if not self._is_step(name, line, "The template names"):
                continue
            yield name
            other = self._steps[name]
            if other.grid and other.select is None:
                self._fail(line, f"Step {name!r} has a grid: it needs a select.")
            known: Iterable[str] | None = None
            first = reference.name.partition(".")[0]
            signature = self._signatures.get(name)
            if reference.kind == "params" and signature is not None:
                known = signature.declared or {}
            elif reference.kind == "values":
                if other.action is not None:
                    known = {"register": ("version", "model"), "deploy": ("url",)}[
                        other.action.kind
                    ]
                elif signature is not None and "*" not in signature.emitted:
                    known = signature.emitted
            if known is not None and first not in known:
                near = did_you_mean(first, known)
                says = f"emits no {first!r}" if reference.kind == "values" else (
                    f"has no param {first!r}"
                )  # fmt: skip
                self._fail(line, f"Step {name!r} {says}.{near}")

    def _order(self, needs: Mapping[str, list[str]]) -> list[str]:
        left = {name: set(before) for name, before in needs.items()}
        while (around := _cycle(left)) is not None:
            first = min(around, key=lambda name: self._steps[name].line)
            turned = [*around[:-1], *around[:-1]]
            at = turned.index(first)
            shown = [*reversed(turned[at + 1 : at + len(around) - 1]), first]
            self._fail(
                self._steps[first].line,
                f"The steps go round in a circle: {' -> '.join([first, *shown])}.",
            )
            for one, other in pairwise(around):
                left[one].discard(other)
                left[other].discard(one)
        done: list[str] = []
        waiting = list(self._steps)
        while waiting:  # the order of the file, as far as it can be kept
            ready = next(name for name in waiting if left[name] <= set(done))
            done.append(ready)
            waiting.remove(ready)
        return done


def _cycle(needs: Mapping[str, set[str]]) -> list[str] | None:
    """Return steps that need each other, the first one again at the end, or None."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return None


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
