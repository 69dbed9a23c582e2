"""Why a metric differs between two runs: one factor swapped at a time."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from nbmlops.entities import Explanation, Factor, FactorEffect, Run
from nbmlops.errors import DependencyError, UsageError, did_you_mean
from nbmlops.execution.environments import make_environment
from nbmlops.execution.kernels import KernelEnvironment
from nbmlops.lifecycle.replay.rerun import Rerun, rerun
from nbmlops.lifecycle.replay.spec import ReplaySpec, read_replay_spec
from nbmlops.store import Store, connect, datasets
from nbmlops.store.runs.resolve import resolve_run
from nbmlops.tracking.provenance.source import installed
from nbmlops.tracking.sync.sender import flush_pending


@dataclass(frozen=True, slots=True, kw_only=True)
class _Swap:
    """One factor of the first run, or none, taken from the second."""

    spec: ReplaySpec
    factor: Factor | None = None
    detail: str = ""
    files: Mapping[str, str] | None = None
    packages_of: ReplaySpec | None = None
    why_not: str = ""


def explain(
    a: str | Run,
    b: str | Run,
    *,
    metric: str | None = None,
    timeout_s: float | None = None,
    experiment: str | None = None,
    store: Store | None = None,
) -> Explanation:
    """Attribute the change of a metric between two runs to what differs between them.

    The first run is replayed as it was, and once more for each factor in which the two
    differ, with that factor as the second run had it: the ``code`` of the cells and of
    the project's modules, the ``params`` in the parameters cell, the ``data`` in the
    files that the cells read, the ``environment`` of installed packages.

    Parameters
    ----------
    a, b : str or Run
        The first and the second run, as `replay` takes them.
    metric : str, optional
        The metric; by default the only one that both have and that differs.
    timeout_s : float, optional
        Seconds each replay may take, above 0; no limit by default.
    experiment : str, optional
        Where ``latest`` and ``best:`` look; by default the one this process tracked
        into last, else the one set with ``mlflow.set_experiment``, else the project's.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    Explanation
        The change that each factor makes by itself; ``factor`` is the largest.

    Raises
    ------
    NotFoundError
        No run fits, or one kept no cells.
    UsageError
        No metric, or more than one, could be meant; or the first run, replayed as it
        was, did not give the metric.
    StoreError
        The store could not be written.
    """
    flush_pending()
    store = store or connect()
    first, second = (
        resolve_run(store, each, experiment=experiment)
        if isinstance(each, str)
        else each
        for each in (a, b)
    )
    one, two = read_replay_spec(store, first), read_replay_spec(store, second)
    if one.is_step or two.is_step:
        raise UsageError(
            "A whole notebook has no metric of its own to explain.",
            fix="Name two of the runs that its cells made.",
        )
    name = _choose(first, second, metric)

    swapped = _SwapExperiment(store, first, second, name, timeout_s)
    repeated, done = swapped.measure(_Swap(spec=one))
    notes = list(done.notes)
    if repeated != first.metrics[name] and not _is_here(one):
        try:
            swapped.environment = swapped.environment_of(one)
        except DependencyError as error:
            notes.append(error.problem)
        else:
            notes.append(f"replayed in the environment of {first.name!r}")
            repeated, done = swapped.measure(_Swap(spec=one))
    if repeated is None or not math.isfinite(repeated):
        raise UsageError(
            f"Run {first.name!r}, replayed as it was, has no finite {name!r}: "
            f"{'; '.join(done.notes) or 'it did not set it'}.",
            fix=f"See why with: %replay {first.run_id[:8]}.",
        )
    swaps = (
        _code(one, two),
        _params(one, two),
        _data(store, one, two),
        _environment(one, two),
    )
    effects = [swapped.effect(swap, repeated) for swap in swaps]
    effects.sort(key=lambda each: -abs(each.change or 0.0))
    whole = second.metrics[name] - first.metrics[name]
    if repeated != first.metrics[name]:
        notes.append(
            f"replayed as it was, {first.name!r} has {name} {repeated:.6g}, not "
            f"{first.metrics[name]:.6g}: changes are counted from there"
        )
    return Explanation(
        metric=name,
        first_run_id=first.run_id,
        second_run_id=second.run_id,
        first=first.metrics[name],
        second=second.metrics[name],
        repeated=repeated,
        effects=tuple(effects),
        rest=whole - sum(each.change or 0.0 for each in effects),
        factor=effects[0].factor if effects[0].change else None,
        notes=tuple(notes),
    )


@dataclass(slots=True)
class _SwapExperiment:
    """Where one metric of two runs is measured under swaps."""

    store: Store
    first: Run
    second: Run
    metric: str
    timeout_s: float | None
    environment: KernelEnvironment | None = None

    def environment_of(self, spec: ReplaySpec) -> KernelEnvironment | None:
        if _is_here(spec):
            return None
        home = self.store.settings.home
        return make_environment(home, spec.pins, python=spec.python)

    def measure(self, swap: _Swap) -> tuple[float | None, Rerun]:
        """Return the metric under a swap, None where it was not set."""
        environment = self.environment
        if swap.packages_of is not None:
            environment = self.environment_of(swap.packages_of)
        what = swap.factor or "nothing"
        done = rerun(
            self.store,
            swap.spec,
            name=f"{self.first.name} with {what} of {self.second.name}",
            tags={
                "nbmlops.kind": "replay",
                "nbmlops.replay_of": self.first.run_id,
                "nbmlops.explain": what,
            },
            files=swap.files,
            environment=environment,
            timeout_s=self.timeout_s,
        )
        again = done.pairs[0][1]
        return (again.metrics.get(self.metric) if again else None), done

    def effect(self, swap: _Swap, repeated: float) -> FactorEffect:
        """Return what a swap does to the metric."""
        value = run_id = None
        detail = " ".join(filter(None, [swap.detail, swap.why_not]))
        if swap.detail and not swap.why_not:
            try:
                value, done = self.measure(swap)
            except DependencyError as error:
                why = error.problem
            else:
                run_id = done.run_id
                why = "; ".join(done.notes) or "the replay did not set the metric"
            if value is None or not math.isfinite(value):
                value, detail = None, f"{detail}; not measured: {why}"
        return FactorEffect(
            factor=swap.factor or "code",
            differs=bool(swap.detail),
            value=value,
            change=None if value is None else value - repeated,
            run_id=run_id,
            detail=detail,
        )


def _is_here(spec: ReplaySpec) -> bool:
    """Return whether kernels run in the spec's environment anyway."""
    is_same = spec.python in ("", platform.python_version())
    return is_same and set(spec.pins) == set(installed())


def _choose(first: Run, second: Run, metric: str | None) -> str:
    both = sorted(
        name
        for name in first.metrics.keys() & second.metrics.keys()
        if math.isfinite(first.metrics[name]) and math.isfinite(second.metrics[name])
    )
    if metric is not None:
        if metric not in both:
            raise UsageError(
                f"The runs do not both have a finite metric {metric!r}."
                f"{did_you_mean(metric, both)}",
                fix=f"Name one of: {', '.join(both) or 'none is in both'}.",
            )
        return metric
    other = [name for name in both if first.metrics[name] != second.metrics[name]]
    if len(other) != 1:
        found = ", ".join(other) or "none"
        raise UsageError(
            f"More or less than one metric differs between the runs: {found}.",
            fix="Name the metric to explain.",
        )
    return other[0]


def _code(one: ReplaySpec, two: ReplaySpec) -> _Swap:
    modules, others = one.digests("code"), two.digests("code")
    changed = sorted(
        path for path in modules.keys() & others if modules[path] != others[path]
    )
    n_cells = len(set(one.code) ^ set(two.code))
    parts = [f"{n_cells} cells differ"] if one.code != two.code else []
    values = {name: one.params[name] for name in two.params if name in one.params}
    # Files that only the second run's code names come with that code.
    files = two.digests("data") | one.digests("data") | modules | others
    return _Swap(
        factor="code",
        detail=", ".join([*parts, *changed]),
        spec=two.with_params(values),
        files=files,
    )


def _params(one: ReplaySpec, two: ReplaySpec) -> _Swap:
    other = {
        name: value
        for name, value in two.params.items()
        if name in one.params and one.params[name] != value
    }
    detail = ", ".join(f"{n}: {one.params[n]} -> {v}" for n, v in other.items())
    return _Swap(factor="params", detail=detail, spec=one.with_params(other))


def _data(store: Store, one: ReplaySpec, two: ReplaySpec) -> _Swap:
    before, after = one.digests("data"), two.digests("data")
    changed = sorted(p for p in before.keys() & after if before[p] != after[p])
    if changed:
        files = before | one.digests("code") | {path: after[path] for path in changed}
        return _Swap(factor="data", detail=", ".join(changed), spec=one, files=files)
    logged, others = (
        {(d.name, d.digest) for d in datasets.list_datasets(store, each.run.run_id)}
        for each in (one, two)
    )
    names = sorted({name for name, _ in logged ^ others})
    if not names:
        return _Swap(factor="data", spec=one)
    if one.code != two.code or one.params != two.params:
        through = f"logged data differ ({', '.join(names)}), but no file that is named"
        return _Swap(factor="data", spec=one, why_not=through)
    return _Swap(
        factor="data",
        spec=one,
        detail=f"logged data differ ({', '.join(names)}),",
        why_not="but no file that the cells read does: it cannot be swapped alone",
    )


def _environment(one: ReplaySpec, two: ReplaySpec) -> _Swap:
    if set(one.pins) == set(two.pins) and one.python == two.python:
        return _Swap(factor="environment", spec=one)
    other = sorted(set(two.pins) - set(one.pins)) or sorted(
        set(one.pins) ^ set(two.pins)
    )
    few = ", ".join(other[:6]) + (", ..." if len(other) > 6 else "")
    return _Swap(
        factor="environment",
        detail=few or f"Python {one.python} -> {two.python}",
        spec=one,
        packages_of=two,
    )
