"""What differs between runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from nbmlops.entities import (
    KIND,
    Column,
    ComparedRun,
    Comparison,
    DatasetDifference,
    Difference,
    Differences,
    LoggedDataset,
    MetricDifference,
    MetricHistory,
    Run,
    full_names,
    mode_of,
    param_of,
)
from nbmlops.errors import StoreError, UsageError
from nbmlops.lifecycle.run_files import RunFiles, diff_code
from nbmlops.render.comparison.view import ComparisonView
from nbmlops.store import Store, connect
from nbmlops.store.datasets import list_datasets
from nbmlops.store.runs.histories import list_histories
from nbmlops.store.runs.resolve import resolve_run
from nbmlops.tracking.run.active import ActiveRun
from nbmlops.tracking.sync.sender import flush_pending

_MOST_RUNS = 8
_COST = "nbmlops.cost."
# The tags to compare. Others are bookkeeping, or digests of what is compared in full.
_TAGS = {
    "mlflow.source.git.commit": "git commit",
    "mlflow.source.git.branch": "git branch",
    "mlflow.note.content": "description",
    "nbmlops.kind": "kind",
    "nbmlops.order": "order",
    "nbmlops.ended_because": "ended because",
}


def compare(
    *runs: str | Run | ActiveRun,
    experiment: str | None = None,
    all_params: bool = False,
    store: Store | None = None,
) -> ComparisonView:
    """Return what differs between two or more runs.

    Parameters
    ----------
    *runs : str, Run or ActiveRun
        2 to 8 runs, each a run id, 6 or more of its first characters, ``latest``,
        ``best:METRIC`` or ``best:METRIC:min|max``, or the run itself. The first is what
        the others are held against.
    experiment : str, optional
        Where ``latest`` and ``best:`` look; by default the one this process tracked
        into last, else the one set with ``mlflow.set_experiment``, else the project's.
    all_params : bool, default=False
        Whether to show all params that autolog recorded; by default those that are not
        the estimator's defaults in each run.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    ComparisonView
        It shows itself; ``.comparison`` is what differs, ``.frame()`` a DataFrame of
        the params and metrics.

    Raises
    ------
    UsageError
        Fewer than two runs are named, more than 8, or one twice.
    NotFoundError
        No run fits.
    StoreError
        The store did not answer.
    """
    if not 2 <= len(runs) <= _MOST_RUNS:
        raise UsageError(
            f"A comparison takes 2 to {_MOST_RUNS} runs, not {len(runs)}.",
            fix="Name the runs, such as: %compare best:accuracy latest",
        )
    flush_pending()
    store = store or connect()
    found: dict[str, Run] = {}
    for spec in runs:
        run = resolve_run(store, _spec(spec), experiment=experiment)
        if run.run_id in found:
            raise UsageError(
                f"{_spec(spec)!r} is run {run.run_id[:8]}, which is named already.",
                fix="Name another run; list them with %runs.",
            )
        found[run.run_id] = run
    compared = _comparison(store, tuple(found.values()), all_params=all_params)
    return ComparisonView(compared)


def _spec(run: Any) -> str:  # noqa: ANN401 - whatever was given for a run
    if isinstance(run, ActiveRun):
        run.flush()  # what it has logged may not be in the store yet
    spec = run if isinstance(run, str) else getattr(run, "run_id", None)
    if not isinstance(spec, str):
        raise UsageError(
            f"{run!r} is not a run.",
            fix='Give run ids or runs, such as nm.compare("best:accuracy", "latest").',
        )
    return spec


def _comparison(store: Store, runs: Sequence[Run], *, all_params: bool) -> Comparison:
    ids = [run.run_id for run in runs]
    files = [RunFiles(store, run) for run in runs]
    metrics, equal_metrics = _metrics(list_histories(store, ids))
    datasets, equal_datasets = _datasets([list_datasets(store, each) for each in ids])
    packages, notes = _packages(files)
    params, others = _params(runs, all_params=all_params)
    return Comparison(
        runs=tuple(
            ComparedRun(
                run_id=run.run_id,
                name=run.name,
                experiment=run.experiment,
                started_at=run.started_at,
            )
            for run in runs
        ),
        facts=_differences([_facts(run) for run in runs]),
        metrics=metrics,
        equal_metrics=equal_metrics,
        params=params,
        other_params=others,
        code=tuple(diff_code(files[0], other) for other in files[1:]),
        datasets=datasets,
        equal_datasets=equal_datasets,
        packages=packages,
        cost=_differences([_cost(run) for run in runs]),
        notes=notes,
    )


def _params(
    runs: Sequence[Run], *, all_params: bool
) -> tuple[Differences, Differences]:
    """Return the params to show, and the others."""
    if all_params:
        return _differences([run.params for run in runs]), _differences([])
    named: set[str] = set()
    changed: set[str] = set()
    for run in runs:
        logged = run.autologged
        named |= run.params.keys() - logged.changed.keys() - {*logged.default}
        changed |= set(logged.changed.values())
    changed -= named
    names = [*sorted(named), *sorted(changed, key=lambda name: (name != KIND, name))]
    shown = [
        _given((name, param_of(run.params, name)) for name in names) for run in runs
    ]
    shown_names = {
        full for run in runs for name in names for full in full_names(run.params, name)
    }
    others = [
        {name: text for name, text in run.params.items() if name not in shown_names}
        for run in runs
    ]
    return _differences(shown, names), _differences(others)


def _given(found: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    return {name: text for name, text in found if text is not None}


def _differences(
    found: Sequence[Mapping[str, str]], names: Sequence[str] | None = None
) -> Differences:
    items, equal = [], {}
    for name in names or sorted({name for each in found for name in each}):
        values = tuple(each.get(name) for each in found)
        if len(set(values)) == 1:
            equal[name] = found[0][name]
        else:
            items.append(Difference(name=name, values=values))
    return Differences(items=tuple(items), equal=equal)


def _facts(run: Run) -> Mapping[str, str]:
    facts = {"status": run.status, "experiment": run.experiment}
    if run.source:
        facts["source"] = run.source
    if run.model_id:
        facts["model"] = "logged"
    for key, name in _TAGS.items():
        if key in run.tags:
            facts[name] = run.tags[key]
    own = {
        f"tag {key}": value
        for key, value in run.tags.items()
        if not key.startswith(("mlflow.", "nbmlops."))
    }
    return facts | own


def _cost(run: Run) -> Mapping[str, str]:
    found = {
        key.removeprefix(_COST): value
        for key, value in run.tags.items()
        if key.startswith(_COST)
    }
    if "wall_s" not in found and run.ended_at:  # not recorded by nbmlops
        found["wall_s"] = f"{(run.ended_at - run.started_at).total_seconds():.3f}"
    return found


def _metrics(
    found: Sequence[Mapping[str, MetricHistory]],
) -> tuple[tuple[MetricDifference, ...], Mapping[str, float]]:
    items, equal = [], {}
    for name in sorted({name for each in found for name in each}):
        histories = tuple(each.get(name) for each in found)
        # As text, for NaN is not equal to NaN.
        if histories[0] is not None and len(set(map(repr, histories))) == 1:
            equal[name] = histories[0].last
        else:
            items.append(
                MetricDifference(name=name, mode=mode_of(name), histories=histories)
            )
    return tuple(items), equal


def _datasets(
    found: Sequence[Sequence[LoggedDataset]],
) -> tuple[tuple[DatasetDifference, ...], tuple[LoggedDataset, ...]]:
    items: list[DatasetDifference] = []
    equal: list[LoggedDataset] = []
    for name in sorted({dataset.name for each in found for dataset in each}):
        named = [[d for d in each if d.name == name] for each in found]
        shared = set.intersection(*({d.digest for d in each} for each in named))
        equal += [d for d in named[0] if d.digest in shared]
        rest = [[d for d in each if d.digest not in shared] for each in named]
        # A name that was logged more than once is paired in the order of its contexts.
        items += [
            DatasetDifference(name=name, versions=versions, columns=_columns(versions))
            for versions in zip_longest(*rest)
        ]
    return tuple(items), tuple(equal)


def _columns(versions: Sequence[LoggedDataset | None]) -> tuple[Difference, ...]:
    schemas = [
        {column.name: _type(column) for column in version.columns}
        for version in versions
        if version is not None and version.columns
    ]
    return _differences(schemas).items if len(schemas) == len(versions) else ()


def _type(column: Column) -> str:
    return column.type if column.is_required else f"{column.type}, may be missing"


def _packages(files: Sequence[RunFiles]) -> tuple[Differences, tuple[str, ...]]:
    try:
        found = [each.packages() for each in files]
    except (UsageError, StoreError) as error:
        return _differences([]), (error.problem,)
    recorded = [each for each in found if each is not None]
    if len(recorded) == len(files):
        return _differences(recorded), ()
    names = ", ".join(
        each.run.run_id[:8]
        for each, packages in zip(files, found, strict=True)
        if packages is None
    )
    return _differences([]), (f"No environment recorded for run {names}.",)
