"""``nm.sweep``: one notebook, run with many sets of parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.engines import get_engine
from nbmlops.entities import PipelineReport, PipelineSpec
from nbmlops.errors import PipelineRunError
from nbmlops.execution.file_hashes import sharded
from nbmlops.execution.parameters.parameters import check_parameters
from nbmlops.pipeline.cache.keys import key_of
from nbmlops.pipeline.runner.planner import Planner
from nbmlops.pipeline.runner.run_recorder import RunRecorder, RunSummary
from nbmlops.pipeline.runner.runner import Runner
from nbmlops.pipeline.spec.file import settings_of
from nbmlops.pipeline.sweeps.grid import Given
from nbmlops.pipeline.sweeps.report import sweep_report, sweep_summary
from nbmlops.pipeline.sweeps.sources import (
    GridSource,
    SearchHistory,
    SearchSource,
    SweepProgress,
)
from nbmlops.pipeline.sweeps.spec import CheckedSweep, SweepSpec, check_sweep
from nbmlops.render.sweeps import SweepView
from nbmlops.tracking.live_output import LiveOutput
from nbmlops.tracking.provenance.replay_notebook import refuse_in_replay
from nbmlops.tracking.run.values import check_name

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from nbmlops.store import Store


def sweep(
    path: str | Path,
    *,
    grid: Mapping[str, Iterable[object]] | None = None,
    sets: Given | None = None,
    space: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
    metric: str | None = None,
    mode: str | None = None,
    trials: int | None = None,
    time_s: float | None = None,
    seed: int | None = None,
    sampler: BaseSampler | None = None,
    pruner: str | BasePruner | None = None,
    inputs: Iterable[str] = (),
    experiment: str | None = None,
    name: str | None = None,
    timeout_s: float | None = None,
    retries: int = 0,
    kernel_name: str | None = None,
    engine: str = "local",
    jobs: int | None = None,
    keep_going: bool = True,
    force: bool = False,
    cache: bool = True,
    say: Callable[[str], None] | None = None,
    store: Store | None = None,
) -> SweepView:
    """Run a notebook with many sets of parameters: a grid, a list or a search.

    Each set is a tracked step below the sweep's own run. Results are kept as those of
    pipelines are, so the same call continues from what is done, after any end.

    Parameters
    ----------
    path : str or Path
        The notebook.
    grid : Mapping of str to iterable, optional
        Values by parameter; each combination is a run. A value twice is refused.
    sets : sequence of Mapping, str or Path, optional
        The sets themselves, or a file of them: YAML, JSON or CSV. A set twice is
        refused.
    space : Mapping of str to object, optional
        What Optuna searches: by parameter ``(low, high)``, ``(low, high, "log")`` or
        ``(low, high, step)``, both ends included; a list of choices; or a distribution
        of Optuna's. It needs a metric, and trials or time_s.
    params : Mapping of str to object, optional
        Values that are the same in all runs.
    metric : str, optional
        What runs are compared by; by default the one metric that there is.
    mode : {"max", "min"}, optional
        Which value is the best; by default the largest, of a loss or error the least.
    trials : int, optional
        Runs of a search, at least 1.
    time_s : float, optional
        Seconds after which no run begins any more, above 0.
    seed : int, default=0
        Of the search, at least 0.
    sampler : optuna.samplers.BaseSampler, optional
        Draws the sets of a search; TPE by default.
    pruner : str or optuna.pruners.BasePruner, default="median"
        Says which runs of a search are pruned, by what ``run.log(step=...)`` reports
        of the metric: ``median``, ``halving``, ``hyperband`` or ``none``.
    inputs : iterable of str, optional
        Files, folders and globs that the notebook reads, relative to it: their content
        decides with the rest whether a cached result is used.
    experiment : str, optional
        Experiment of the runs; by default that of `nbmlops.run_notebook`.
    name : str, optional
        Name of the sweep; the notebook's by default.
    timeout_s : float, optional
        Seconds each run may take, above 0.
    retries : int, default=0
        How often a run is begun again whose kernel died, or the store was away.
    kernel_name : str, optional
        Kernel to use instead of the one the notebook names.
    engine : {"local", "dask"}, default="local"
        Where the runs are done, as for `nbmlops.Pipeline.run`.
    jobs : int, optional
        Runs at once, at least 1; as many as the engine has cores by default.
    keep_going : bool, default=True
        Whether other runs begin when one has failed.
    force : bool, default=False
        Whether to run all sets whatever is kept, and search anew.
    cache : bool, default=True
        Whether kept results may stand for runs.
    say : callable, optional
        Given a line whenever something happens; below the cell in a notebook.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    SweepView
        It shows itself; ``.best``, ``.frame()``, and ``.report``, the facts. Its status
        is ``FAILED`` when some of the runs failed.

    Raises
    ------
    UsageError
        A parameter, a value or an option is wrong; all that is wrong is said at once,
        and nothing has run. Of a search also when a run ends without the metric.
    NotFoundError
        There is no such notebook or file.
    DependencyError
        A space is given, and Optuna is not installed.
    PipelineRunError
        All runs failed, or one did and ``keep_going`` is off; it has the ``report``.
    KeyboardInterrupt
        Someone interrupted it: once to let runs finish, twice to stop them.
    """
    refuse_in_replay("run sweeps")
    settings = store.settings if store else settings_of(Path(path))
    spec = SweepSpec(
        grid=grid,
        sets=sets,
        space=space,
        params=params or {},
        metric=metric,
        mode=mode,
        trials=trials,
        time_s=time_s,
        seed=seed,
        sampler=sampler,
        pruner=pruner,
        inputs=(inputs,) if isinstance(inputs, str) else tuple(inputs),
        kernel_name=kernel_name,
        timeout_s=timeout_s,
        retries=retries,
        jobs=jobs,
        cache=cache,
    )
    checked = check_sweep(path, spec, settings)
    for what, given in (("a run", name), ("an experiment", experiment)):
        if given is not None:
            check_name(what, given)
    from nbmlops.store import connect, fluent

    store = store or connect(settings, must_answer=False)
    pipeline = PipelineSpec(
        name=name or checked.notebook.stem,
        path=str(checked.notebook),
        experiment=experiment or fluent.default_experiment(store),
        params={},
        steps=(checked.step,),
    )
    planner = Planner(
        pipeline,
        {checked.step.name: checked.signature},
        settings,
        force=("*",) if force else (),
    )
    file = _history_file(checked, planner) if cache else None
    output = LiveOutput(f"sweeping {checked.notebook.name}")
    return _run(
        checked,
        planner,
        store,
        engine=engine,
        keep_going=keep_going,
        history=SearchHistory(file, is_new=force),
        say=say or output.add,
        output=output,
    )


def _history_file(sweep: CheckedSweep, planner: Planner) -> Path | None:
    """Return where the history of a search is: by all that decides on the search."""
    if sweep.space is None:
        return None
    step, spec = sweep.step, sweep.spec
    params = check_parameters(sweep.signature.declared, step.params)
    methods = [
        each if isinstance(each, str | None) else type(each).__name__
        for each in (spec.sampler, spec.pruner or "median")
    ]
    parts = planner.keys.parts(step, params, upstream={})
    how = [sweep.space.described(), spec.metric, sweep.mode, spec.seed or 0, methods]
    text = json.dumps([str(sweep.notebook), key_of(parts), how])
    digest = sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return sharded(planner.cache.home / "searches", digest)


def _run(
    sweep: CheckedSweep,
    planner: Planner,
    store: Store,
    *,
    engine: str,
    keep_going: bool,
    history: SearchHistory,
    say: Callable[[str], None],
    output: LiveOutput,
) -> SweepView:
    spec, step = sweep.spec, sweep.step
    source: GridSource | SearchSource

    def summarize(report: PipelineReport) -> RunSummary:
        return sweep_summary(sweep_report(report, sweep, source))

    recorder = RunRecorder(
        store,
        planner.spec,
        {**step.params, **sweep.swept},
        kind="sweep",
        summarize=summarize,
    )
    mode = sweep.mode or "max"
    n_runs = len(sweep.combos) if sweep.space is None else spec.trials
    progress = SweepProgress(n_runs, spec.metric, mode, say)
    try:
        if sweep.space is None:
            source = GridSource(step, sweep.combos, progress, spec.time_s)
        else:
            source = SearchSource(
                step,
                sweep.space,
                spec,
                mode,
                history=history,
                folder=recorder.folder,
                progress=progress,
            )
        for each in source.pruned_before:
            recorder.log_cached(each, step.notebook, "")
    except BaseException as error:
        recorder.abandon(error)
        raise
    with closing(get_engine(engine, store.settings)) as found:
        runner = Runner(
            planner,
            recorder,
            engine=found,
            jobs=spec.jobs,
            keep_going=keep_going,
            say=say,
            source=source,
        )
        report = sweep_report(runner.run(), sweep, source)
    view = SweepView(report)
    output.show()
    if runner.was_interrupted:
        output.show(view)
        raise KeyboardInterrupt
    failed = [run for run in report.runs if run.state == "failed"]
    if failed and not (keep_going and len(failed) < len(report.runs)):
        n, more = len(failed), f"{len(failed)} of {len(report.runs)} runs failed. "
        raise PipelineRunError(
            f"{more if n > 1 else ''}{failed[0].step}: {failed[0].why}",
            fix="Fix it and run it again: it continues from what is done.",
            report=report,
        )
    return view
