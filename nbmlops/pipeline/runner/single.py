"""One step of a pipeline, on the results that are kept of those it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from nbmlops.entities import PipelineSpec
from nbmlops.errors import UsageError, did_you_mean
from nbmlops.pipeline.runner.planning import Planner


def single(
    spec: PipelineSpec, only: str, make: Callable[[PipelineSpec], Planner]
) -> Planner:
    """Return what plans one step and those it needs, which are done."""
    known = [step.name for step in spec.steps]
    if only not in known:
        raise UsageError(
            f"No step {only!r} to run.{did_you_mean(only, known)}",
            fix=f"The steps are: {', '.join(known)}.",
        )
    wanted = {only} | spec.upstream({only})
    steps = tuple(step for step in spec.steps if step.name in wanted)
    spec = replace(spec, steps=steps)
    for planned in make(spec).plan():
        name = planned.step.partition("[")[0]
        if name != only and planned.state != "cached":
            raise UsageError(
                f"Step {only!r} needs {planned.step!r}, which is not done: "
                f"{planned.why}.",
                fix=f"Run that first, with step={name!r}.",
            )
    return make(spec)
