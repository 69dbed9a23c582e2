"""Whether the steps of a pipeline file fit their notebooks, files and each other."""

from __future__ import annotations

from nbmlops.entities import Step
from nbmlops.errors import NbmlopsError, did_you_mean
from nbmlops.execution.file_hashes import Digests
from nbmlops.execution.kernels import kernel_of, read_kernel
from nbmlops.execution.notebooks.code_dependencies import read_imports
from nbmlops.execution.notebooks.notebook import (
    code_sources,
    find_notebook,
    language,
    read_quickly,
)
from nbmlops.execution.parameters.parameters import check_parameters, parameters
from nbmlops.pipeline.spec.dependencies import DependencyResolver
from nbmlops.pipeline.spec.draft import NotebookSignature, SpecDraft
from nbmlops.pipeline.spec.overrides import optional
from nbmlops.pipeline.spec.templates import has_template


class Resolver:
    """Checks notebooks, kernels and parameters."""

    def __init__(self, draft: SpecDraft, digests: Digests) -> None:
        self._draft, self._digests = draft, digests
        self._steps, self._fail = draft.steps, draft.fail
        self.signatures: dict[str, NotebookSignature] = {}

    def check(self) -> tuple[Step, ...]:
        """Return the steps in an order they can run in, their needs complete."""
        for step in self._steps.values():
            if step.notebook is not None:
                self._read_notebook(step)
        ordered = DependencyResolver(self._draft, self.signatures).order()
        for step in ordered:
            if step.name in self.signatures:
                self._params(step, self.signatures[step.name])
        self._shared_params()
        for path, line in self._draft.watched.items():
            self._draft.inside(path, line, is_input=True)
        return ordered

    def _read_notebook(self, step: Step) -> None:
        line = self._draft.line(step, "notebook")
        if step.kernel is not None:
            self._kernel(step, step.kernel)
        path = self._draft.inside(str(step.notebook), line)
        if path is None:
            return
        try:
            notebook = read_quickly(find_notebook(path))
        except NbmlopsError as error:
            problem = error.problem.replace(str(path), str(step.notebook))
            self._fail(line, problem)
            return
        if step.kernel is None:
            self._kernel(step, kernel_of(notebook))
        emitted = frozenset({"*"})
        if language(notebook).lower() == "python":
            emitted = read_imports(
                code_sources(notebook),
                folder=path.parent,
                project=self._draft.project,
                digests=self._digests,
            ).emitted
        try:
            self.signatures[step.name] = NotebookSignature(
                declared=parameters(notebook), emitted=emitted
            )
        except NbmlopsError as error:
            self._fail(line, f"{step.notebook}: {error.problem}")

    def _kernel(self, step: Step, name: str) -> None:
        try:
            read_kernel(name)
        except NbmlopsError as error:
            self._fail(self._draft.line(step, "kernel"), error.problem)

    def _params(self, step: Step, signature: NotebookSignature) -> None:
        """Check each param of a step against what the notebook declares."""
        given = {
            name: (located.line, [located.plain()])
            for name, located in self._draft.located(step, "params").items()
        } | {
            name: (located.line, list(step.grid[name]))
            for name, located in self._draft.located(step, "grid").items()
        }
        declared = optional(signature.declared)
        for name, (line, values) in given.items():
            for value in values:
                is_open = has_template(value)  # known when the steps before ran
                if is_open and name in (declared or {}):
                    continue
                try:
                    check_parameters(declared, {name: None if is_open else value})
                except NbmlopsError as error:
                    self._fail(line, f"Step {step.name!r}: {error.problem}")
        shared = self._draft.params
        for name, parameter in (signature.declared or {}).items():
            if name in given:
                continue
            if name in shared:
                try:
                    check_parameters(declared, {name: shared[name].plain()})
                except NbmlopsError as error:
                    problem = f"For step {step.name!r}: {error.problem}"
                    self._fail(shared[name].line, problem)
            elif not parameter.default_source:
                self._fail(
                    step.line,
                    f"Step {step.name!r}: parameter {name!r} has no default and is not "
                    "given.",
                )

    def _shared_params(self) -> None:
        known = {
            name
            for signature in self.signatures.values()
            for name in signature.declared or {}
        }
        unread = len(self.signatures) < sum(
            bool(s.notebook) for s in self._steps.values()
        )
        for name, located in self._draft.params.items():
            if name not in known and not unread:
                near = did_you_mean(name, known)
                self._fail(located.line, f"No step has a parameter {name!r}.{near}")
