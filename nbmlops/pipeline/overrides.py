"""A pipeline with other values for some of its params."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nbmlops.entities import PipelineSpec
from nbmlops.errors import NbmlopsError, UsageError, did_you_mean
from nbmlops.pipeline.ground import Look
from nbmlops.pipeline.parameters import check_parameters, refuse_other


def override(
    spec: PipelineSpec, looks: Mapping[str, Look], params: Mapping[str, object]
) -> PipelineSpec:
    """Return the pipeline with some of its params set to other values.

    Parameters
    ----------
    spec : PipelineSpec
        The pipeline.
    looks : Mapping of str to Look
        What its notebooks declare.
    params : Mapping of str to object
        By ``step.name``; or by a name that the file's own ``params`` have. One that the
        step has a grid for is no axis of the grid any more.

    Returns
    -------
    PipelineSpec
        Otherwise the same.

    Raises
    ------
    UsageError
        A step or a parameter is unknown, or a value is of another type. Names all.
    """
    refuse_other(params)
    problems: list[str] = []
    steps = {step.name: step for step in spec.steps}
    shared = dict(spec.params)
    for name, value in params.items():
        step_name, dot, param = str(name).partition(".")
        if not dot and name in shared:
            shared[name] = value
            continue
        if not dot or step_name not in steps:
            known = [*shared, *(f"{s}.{p}" for s in steps for p in _names(looks, s))]
            near = did_you_mean(str(name), known)
            problems.append(f"No parameter {name!r}: write STEP.NAME.{near}")
            continue
        look = looks.get(step_name)
        declared = (look.declared if look else None) or {}
        optional = {
            each.name: replace(each, default_source=each.default_source or "...")
            for each in declared.values()
        }
        try:
            check_parameters(optional, {param: value})
        except NbmlopsError as error:
            problems.append(f"Step {step_name!r}: {error.problem}")
            continue
        step = steps[step_name]
        grid = {axis: values for axis, values in step.grid.items() if axis != param}
        given = {**step.params, param: value}
        select = step.select if grid else None
        steps[step_name] = replace(step, params=given, grid=grid, select=select)
    if problems:
        raise UsageError(" ".join(problems), fix="See the file's steps and params.")
    return replace(spec, params=shared, steps=tuple(steps.values()))


def _names(looks: Mapping[str, Look], step: str) -> list[str]:
    look = looks.get(step)
    return list((look.declared if look else None) or ())
