"""Whether the steps of a pipeline file fit their notebooks, files and each other."""

from __future__ import annotations

from dataclasses import replace

from nbmlops.entities import Step
from nbmlops.errors import NbmlopsError, did_you_mean
from nbmlops.execution.file_hashes import Digests
from nbmlops.execution.notebooks.code_dependencies import read_imports
from nbmlops.execution.notebooks.kernelspecs import glance, kernel_of, read_kernel
from nbmlops.execution.notebooks.notebook import (
    check_parameters,
    code_sources,
    find_notebook,
    language,
    parameters,
)
from nbmlops.pipeline.spec.dependencies import Edges
from nbmlops.pipeline.spec.templates import has_template
from nbmlops.pipeline.spec.validation_context import (
    NotebookSignature,
    ValidationContext,
)


class Wiring:
    """Looks at what the steps name."""

    def __init__(self, ground: ValidationContext, digests: Digests) -> None:
        self._ground, self._digests = ground, digests
        self._steps = ground.draft.steps
        self.looks: dict[str, NotebookSignature] = {}

    def check(self) -> tuple[Step, ...]:
        """Return the steps in an order they can run in, their needs complete."""
        for step in self._steps.values():
            if step.notebook is not None:
                self._look(step)
        ordered = Edges(self._ground, self.looks).order()
        for step in ordered:
            if step.name in self.looks:
                self._params(step, self.looks[step.name])
        self._shared_params()
        for path, line in self._ground.draft.watched.items():
            self._ground.inside(path, line, is_input=True)
        return ordered

    def _look(self, step: Step) -> None:
        line = self._ground.line(step, "notebook")
        if step.kernel is not None:
            self._kernel(step, step.kernel)
        path = self._ground.inside(str(step.notebook), line)
        if path is None:
            return
        try:
            notebook = glance(find_notebook(path))
        except NbmlopsError as error:
            problem = error.problem.replace(str(path), str(step.notebook))
            self._ground.fault(line, problem)
            return
        if step.kernel is None:
            self._kernel(step, kernel_of(notebook))
        emitted = frozenset({"*"})
        if language(notebook).lower() == "python":
            emitted = read_imports(
                code_sources(notebook),
                folder=path.parent,
                project=self._ground.project,
                digests=self._digests,
            ).emitted
        try:
            self.looks[step.name] = NotebookSignature(
                declared=parameters(notebook), emitted=emitted
            )
        except NbmlopsError as error:
            self._ground.fault(line, f"{step.notebook}: {error.problem}")

    def _kernel(self, step: Step, name: str) -> None:
        try:
            read_kernel(name)
        except NbmlopsError as error:
            self._ground.fault(self._ground.line(step, "kernel"), error.problem)

    def _params(self, step: Step, look: NotebookSignature) -> None:
        """Check each param of a step against what the notebook declares."""
        given = {
            name: (located.line, [located.plain()])
            for name, located in self._ground.draft.params_of[step.name].items()
        } | {
            name: (located.line, list(step.grid[name]))
            for name, located in self._ground.draft.grid_of[step.name].items()
        }
        optional = {
            name: replace(each, default_source=each.default_source or "...")
            for name, each in (look.declared or {}).items()
        }
        for name, (line, values) in given.items():
            for value in values:
                open_ended = has_template(value)  # known when the steps before ran
                if open_ended and name in optional:
                    continue
                try:
                    declared = None if look.declared is None else optional
                    check_parameters(declared, {name: None if open_ended else value})
                except NbmlopsError as error:
                    self._ground.fault(line, f"Step {step.name!r}: {error.problem}")
        shared = self._ground.draft.params
        for name, parameter in (look.declared or {}).items():
            if name in given:
                continue
            if name in shared:
                try:
                    check_parameters(optional, {name: shared[name].plain()})
                except NbmlopsError as error:
                    problem = f"For step {step.name!r}: {error.problem}"
                    self._ground.fault(shared[name].line, problem)
            elif not parameter.default_source:
                self._ground.fault(
                    step.line,
                    f"Step {step.name!r}: parameter {name!r} has no default and is not "
                    "given.",
                )

    def _shared_params(self) -> None:
        known = {name for look in self.looks.values() for name in look.declared or {}}
        unread = len(self.looks) < sum(bool(s.notebook) for s in self._steps.values())
        for name, located in self._ground.draft.params.items():
            if name not in known and not unread:
                near = did_you_mean(name, known)
                self._ground.fault(
                    located.line, f"No step has a parameter {name!r}.{near}"
                )
