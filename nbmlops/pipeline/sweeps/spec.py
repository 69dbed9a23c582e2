"""What a sweep is asked to be, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.config import Settings
from nbmlops.entities import Mode, Step, mode_of, unknown_mode
from nbmlops.errors import NbmlopsError, UsageError, did_you_mean
from nbmlops.execution.kernels import kernel_of, read_kernel
from nbmlops.execution.notebooks.notebook import find_notebook, read_quickly
from nbmlops.execution.parameters.parameters import parameters, refuse_other
from nbmlops.pipeline.runner.step_runs import printed
from nbmlops.pipeline.spec.draft import NotebookSignature, SpecDraft
from nbmlops.pipeline.spec.globs import PathPattern
from nbmlops.pipeline.sweeps.checking import Checker
from nbmlops.pipeline.sweeps.grid import Combo, Given, of_grid, of_list
from nbmlops.pipeline.sweeps.space import Space, read_space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

PRUNERS = {
    "median": "MedianPruner",
    "halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "none": "NopPruner",
}
_OF_SPACE = ("trials", "seed", "sampler", "pruner")
_LOWEST: dict[str, tuple[tuple[type, ...], int]] = {
    "jobs": ((int,), 1),
    "retries": ((int,), 0),
    "trials": ((int,), 1),
    "seed": ((int,), 0),
    "time_s": ((int, float), 0),
    "timeout_s": ((int, float), 0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSpec:
    """A sweep as `nbmlops.sweep` is asked for it."""

    grid: Mapping[str, Iterable[object]] | None = None
    sets: Given | None = None
    space: Mapping[str, object] | None = None
    params: Mapping[str, object] = field(default_factory=dict)
    metric: str | None = None
    mode: str | None = None
    trials: int | None = None
    time_s: float | None = None
    seed: int | None = None
    sampler: BaseSampler | None = None
    pruner: str | BasePruner | None = None
    inputs: tuple[str, ...] = ()
    kernel_name: str | None = None
    timeout_s: float | None = None
    retries: int = 0
    jobs: int | None = None
    cache: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSweep:
    """A sweep that can be run: of ``combos``, or a search of ``space``."""

    spec: SweepSpec
    notebook: Path
    step: Step
    signature: NotebookSignature
    swept: Mapping[str, str]
    mode: Mode | None
    combos: list[Combo]
    space: Space | None


def check_sweep(path: str | Path, spec: SweepSpec, settings: Settings) -> CheckedSweep:
    """Return a sweep that can be run."""
    source = find_notebook(path)
    kinds = [k for k in ("grid", "sets", "space") if getattr(spec, k) is not None]
    if len(kinds) != 1:
        raise UsageError(
            f"The sweep has {' and '.join(kinds) or 'no grid, sets or space'}.",
            fix="Give one of grid=, sets= and space=.",
        )
    refuse_other(spec.params)
    notebook = read_quickly(source)
    checker = Checker(parameters(notebook))
    _check_numbers(spec, checker)
    mode = _check_metric(spec, checker)
    try:
        read_kernel(kernel_of(notebook, spec.kernel_name))
    except NbmlopsError as error:
        checker.fail(error.problem)
    _check_inputs(source, spec.inputs, settings, checker)
    params = {name: checker.fit(name, each) for name, each in spec.params.items()}
    combos: list[Combo] = []
    space = None
    if spec.space is not None:
        space = read_space(spec.space, params, checker)
    elif spec.grid is not None:
        combos = of_grid(spec.grid, params, checker)
    elif spec.sets is not None:
        combos = of_list(spec.sets, params, checker)
    checker.refuse(source.name)
    return CheckedSweep(
        spec=spec,
        notebook=source,
        step=Step(
            name=source.stem,
            line=1,
            notebook=source.name,
            inputs=spec.inputs,
            params=params,
            kernel=spec.kernel_name,
            timeout_s=spec.timeout_s,
            retries=spec.retries,
            cache=spec.cache,
        ),
        signature=NotebookSignature(
            declared=checker.declared, emitted=frozenset({"*"})
        ),
        swept=_described(combos) if space is None else space.described(),
        mode=mode,
        combos=combos,
        space=space,
    )


def _described(combos: Iterable[Combo]) -> dict[str, str]:
    """Return the values of each parameter that is swept, each once."""
    values: dict[str, dict[str, None]] = {}
    for combo in combos:
        for name, value in combo.items():
            values.setdefault(name, {})[printed(value)] = None
    return {name: ", ".join(seen) for name, seen in values.items()}


def _check_numbers(spec: SweepSpec, checker: Checker) -> None:
    for name, (types, low) in _LOWEST.items():
        value = getattr(spec, name)
        if value is None:
            continue
        is_float = float in types
        if type(value) not in types or value < low or (is_float and value == low):
            words = f"above {low}" if is_float else f"{low} or more"
            checker.fail(f"{name.removesuffix('_s')} is {value!r}, not {words}.")
    if spec.space is None:
        for name in _OF_SPACE:
            if getattr(spec, name) is not None:
                checker.fail(f"{name} is given, but no space to search.")
    elif spec.trials is None and spec.time_s is None:
        checker.fail("The search has no end: give a number of trials or a time.")


def _check_metric(spec: SweepSpec, checker: Checker) -> Mode | None:
    """Return which values of the metric are best; None when it is not given."""
    metric, mode, pruner = spec.metric, spec.mode, spec.pruner
    if metric is None and spec.space is not None:
        checker.fail("The search names no metric to search by.")
    if mode not in (None, "max", "min"):
        near = did_you_mean(str(mode), ("max", "min"))
        checker.fail(f"The mode is {mode!r}, not max or min.{near}")
    elif mode is not None and metric is None:
        checker.fail("A mode is given, but no metric.")
    elif mode is None and metric is not None and mode_of(metric) is None:
        checker.fail(str(unknown_mode(metric, small="mode min", large="mode max")))
    if isinstance(pruner, str) and pruner not in PRUNERS:
        near = did_you_mean(pruner, PRUNERS)
        checker.fail(f"No pruner {pruner!r}: there is {', '.join(PRUNERS)}.{near}")
    for name, method in (("sampler", "sample_relative"), ("pruner", "prune")):
        value = getattr(spec, name)
        if not isinstance(value, str | None) and not hasattr(value, method):
            checker.fail(f"The {name} is {value!r:.60}, not one of Optuna's.")
    if mode is not None:
        return "min" if mode == "min" else "max"
    return None if metric is None else mode_of(metric)


def _check_inputs(
    source: Path, inputs: tuple[str, ...], settings: Settings, checker: Checker
) -> None:
    draft = SpecDraft(path=source, readable=settings.readable)
    for text in inputs:
        is_inside = draft.inside(text, 1, is_input=True) is not None
        if is_inside and not any(PathPattern(source.parent, text).files()):
            checker.fail(
                f"Input {text!r} is not there; it is relative to the notebook."
            )
    for each in draft.problems:
        checker.fail(each.message)
