"""A pipeline with other values for some of its params."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from nbmlops.entities import PipelineSpec, Step
from nbmlops.errors import NbmlopsError, UsageError, did_you_mean
from nbmlops.execution.parameters.parameters import (
    Parameter,
    check_parameters,
    parse_text,
    refuse_other,
)
from nbmlops.pipeline.spec.draft import NotebookSignature
from nbmlops.pipeline.spec.templates import has_template


def override(
    spec: PipelineSpec,
    signatures: Mapping[str, NotebookSignature],
    params: Mapping[str, object],
) -> PipelineSpec:
    """Return the pipeline with some of its params set to other values."""
    refuse_other(params)
    problems: list[str] = []
    steps = {step.name: step for step in spec.steps}
    shared = dict(spec.params)
    # Those of a step first: what it is given itself, it does not take from the file's.
    for name, value in sorted(params.items(), key=lambda each: "." not in str(each[0])):
        step_name, dot, param = str(name).partition(".")
        if has_template(value):
            problems.append(f"Parameter {name!r} has a template; in the file it can.")
            continue
        if not dot and name in shared:
            shared[name] = value
            for taker in takers_of(name, steps.values(), signatures):
                problems += _problems_of(signatures, taker, name, value)
            continue
        if not dot or step_name not in steps:
            known = [
                *shared,
                *(f"{s}.{p}" for s in steps for p in _names(signatures, s)),
            ]
            near = did_you_mean(str(name), known)
            problems.append(f"No parameter {name!r}: write STEP.NAME.{near}")
            continue
        if found := _problems_of(signatures, step_name, param, value):
            problems += found
            continue
        step = steps[step_name]
        grid = {axis: values for axis, values in step.grid.items() if axis != param}
        given = {**step.params, param: value}
        select = step.select if grid else None
        steps[step_name] = replace(step, params=given, grid=grid, select=select)
    if problems:
        raise UsageError(" ".join(problems), fix="See the file's steps and params.")
    return replace(spec, params=shared, steps=tuple(steps.values()))


def parse_overrides(
    spec: PipelineSpec,
    signatures: Mapping[str, NotebookSignature],
    texts: Iterable[tuple[str, str]],
) -> dict[str, object]:
    """Return params as they were typed as values of the declared types.

    Of what each step would read, the first that all of them can take.
    """

    def is_fit(name: str, value: object) -> bool:
        try:
            override(spec, signatures, {name: value})
        except UsageError:
            return False
        return True

    found: dict[str, object] = {}
    for name, text in texts:
        step, dot, param = name.partition(".")
        takers = [step] if dot else takers_of(name, spec.steps, signatures)
        read = [
            parse_text(signatures[each].declared, param or step, text)
            for each in takers
            if each in signatures
        ]
        first = read[0] if read else text
        found[name] = next((value for value in read if is_fit(name, value)), first)
    return found


def takers_of(
    name: str, steps: Iterable[Step], signatures: Mapping[str, NotebookSignature]
) -> Iterator[str]:
    """Yield the steps that a param of the whole file is given to."""
    for step in steps:
        is_own = name in step.params or name in step.grid
        if name in _names(signatures, step.name) and not is_own:
            yield step.name


def _problems_of(
    signatures: Mapping[str, NotebookSignature], step: str, param: str, value: object
) -> list[str]:
    """Return why a step's notebook cannot take a value, at most one sentence."""
    signature = signatures.get(step)
    declared = optional(signature.declared if signature else None) or {}
    try:
        check_parameters(declared, {param: value})
    except NbmlopsError as error:
        return [f"Step {step!r}: {error.problem}"]
    return []


def _names(signatures: Mapping[str, NotebookSignature], step: str) -> list[str]:
    signature = signatures.get(step)
    return list((signature.declared if signature else None) or ())


def optional(declared: Mapping[str, Parameter] | None) -> dict[str, Parameter] | None:
    """Return the same parameters, none of which has to be given."""
    if declared is None:
        return None
    return {
        name: replace(each, default_source=each.default_source or "...")
        for name, each in declared.items()
    }
