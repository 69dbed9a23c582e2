"""What a sweep is asked to be, found to be right before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.config import Settings
from nbmlops.entities import Mode, Step, mode_of, unknown_mode
from nbmlops.errors import NbmlopsError, UsageError, did_you_mean
from nbmlops.execution.notebooks.kernelspecs import glance, kernel_of, read_kernel
from nbmlops.execution.notebooks.notebook import find_notebook, parameters
from nbmlops.execution.parameters.parameters import refuse_other
from nbmlops.pipeline.runner.step_runs import printed
from nbmlops.pipeline.spec.globs import PathPattern
from nbmlops.pipeline.spec.parser import Draft
from nbmlops.pipeline.spec.validation_context import (
    NotebookSignature,
    ValidationContext,
)
from nbmlops.pipeline.sweeps.checking import Checker
from nbmlops.pipeline.sweeps.grid import Combo, Given, of_grid, of_list
from nbmlops.pipeline.sweeps.search import PRUNERS, Plan
from nbmlops.pipeline.sweeps.space import Space, read_space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

_OF_SPACE = ("trials", "seed", "sampler", "pruner")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSpec:
    """A sweep as `nbmlops.sweep` is asked for it."""

    grid: Mapping[str, Iterable[object]] | None
    sets: Given | None
    space: Mapping[str, object] | None
    params: Mapping[str, object]
    metric: str | None
    mode: str | None
    trials: int | None
    time_s: float | None
    seed: int | None
    sampler: BaseSampler | None
    pruner: str | BasePruner | None
    inputs: tuple[str, ...]
    kernel_name: str | None
    timeout_s: float | None
    retries: int
    jobs: int | None
    cache: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A sweep that can be run."""

    source: Path
    step: Step
    look: NotebookSignature
    swept: Mapping[str, str]
    metric: str | None
    mode: Mode | None
    time_s: float | None
    combos: list[Combo] = field(default_factory=list)
    space: Space | None = None
    plan: Plan | None = None


def ask(path: str | Path, request: SweepSpec, settings: Settings) -> Asked:
    """Return a sweep that can be run."""
    source = find_notebook(path)
    kinds = [k for k in ("grid", "sets", "space") if getattr(request, k) is not None]
    if len(kinds) != 1:
        raise UsageError(
            f"The sweep has {' and '.join(kinds) or 'no grid, sets or space'}.",
            fix="Give one of grid=, sets= and space=.",
        )
    refuse_other(request.params)
    notebook = glance(source)
    checker = Checker(parameters(notebook))
    _check_numbers(request, checker)
    _check_metric(request, checker)
    try:
        read_kernel(kernel_of(notebook, request.kernel_name))
    except NbmlopsError as error:
        checker.fault(error.problem)
    _check_inputs(source, request.inputs, settings, checker)
    params = {name: checker.fit(name, each) for name, each in request.params.items()}
    found: dict[str, Any] = {}
    swept: dict[str, str] = {}
    if request.space is not None:
        found["space"] = read_space(request.space, params, checker)
        swept = found["space"].described()
    elif request.grid is not None:
        found["combos"] = of_grid(request.grid, params, checker)
    elif request.sets is not None:
        found["combos"] = of_list(request.sets, params, checker)
    checker.refuse(source.name)
    if not swept:
        swept = _described(found["combos"])
    mode = _mode(request)
    if request.space is not None:
        found["plan"] = _plan(request, mode)
    return Asked(
        source=source,
        step=Step(
            name=source.stem,
            line=1,
            notebook=source.name,
            inputs=request.inputs,
            params=params,
            kernel=request.kernel_name,
            timeout_s=request.timeout_s,
            retries=request.retries,
            cache=request.cache,
        ),
        look=NotebookSignature(declared=checker.declared, emitted=frozenset({"*"})),
        swept=swept,
        metric=request.metric,
        mode=mode,
        time_s=request.time_s,
        **found,
    )


def _mode(request: SweepSpec) -> Mode | None:
    if request.mode is not None:
        return "min" if request.mode == "min" else "max"
    return None if request.metric is None else mode_of(request.metric)


def _plan(request: SweepSpec, mode: Mode | None) -> Plan:
    assert request.metric is not None  # noqa: S101 - it was checked
    assert mode is not None  # noqa: S101
    return Plan(
        metric=request.metric,
        mode=mode,
        trials=request.trials,
        time_s=request.time_s,
        seed=request.seed or 0,
        jobs=request.jobs,
        sampler=request.sampler,
        pruner=request.pruner or "median",
    )


def _described(combos: Iterable[Combo]) -> dict[str, str]:
    """Return the values of each parameter that is swept, each once."""
    values: dict[str, dict[str, None]] = {}
    for combo in combos:
        for name, value in combo.items():
            values.setdefault(name, {})[printed(value)] = None
    return {name: ", ".join(seen) for name, seen in values.items()}


def _check_numbers(request: SweepSpec, checker: Checker) -> None:
    lowest: dict[str, tuple[tuple[type, ...], int]] = {
        "jobs": ((int,), 1),
        "retries": ((int,), 0),
        "trials": ((int,), 1),
        "seed": ((int,), 0),
        "time_s": ((int, float), 0),
        "timeout_s": ((int, float), 0),
    }
    for name, (types, low) in lowest.items():
        value = getattr(request, name)
        if value is None:
            continue
        is_enough = type(value) in types and (
            value > low if float in types else value >= low
        )
        if not is_enough:
            words = f"above {low}" if float in types else f"{low} or more"
            checker.fault(f"{name.removesuffix('_s')} is {value!r}, not {words}.")
    if request.space is None:
        for name in _OF_SPACE:
            if getattr(request, name) is not None:
                checker.fault(f"{name} is given, but no space to search.")
    elif request.trials is None and request.time_s is None:
        checker.fault("The search has no end: give a number of trials or a time.")


def _check_metric(request: SweepSpec, checker: Checker) -> None:
    metric, mode, pruner = request.metric, request.mode, request.pruner
    if metric is None and request.space is not None:
        checker.fault("The search names no metric to search by.")
    if mode not in (None, "max", "min"):
        near = did_you_mean(str(mode), ("max", "min"))
        checker.fault(f"The mode is {mode!r}, not max or min.{near}")
    elif mode is not None and metric is None:
        checker.fault("A mode is given, but no metric.")
    elif mode is None and metric is not None and mode_of(metric) is None:
        checker.fault(str(unknown_mode(metric, small="mode min", large="mode max")))
    if isinstance(pruner, str) and pruner not in PRUNERS:
        near = did_you_mean(pruner, PRUNERS)
        checker.fault(f"No pruner {pruner!r}: there is {', '.join(PRUNERS)}.{near}")
    for name, method in (("sampler", "sample_relative"), ("pruner", "prune")):
        value = getattr(request, name)
        if not isinstance(value, str | None) and not hasattr(value, method):
            checker.fault(f"The {name} is {value!r:.60}, not one of Optuna's.")


def _check_inputs(
    source: Path, inputs: tuple[str, ...], settings: Settings, checker: Checker
) -> None:
    ground = ValidationContext(
        path=source, readable=settings.readable, draft=Draft(), faults=[]
    )
    for text in inputs:
        is_inside = ground.inside(text, 1, is_input=True) is not None
        if is_inside and not any(PathPattern(source.parent, text).files()):
            checker.fault(
                f"Input {text!r} is not there; it is relative to the notebook."
            )
    for fault in ground.faults:
        checker.fault(fault.problem)
