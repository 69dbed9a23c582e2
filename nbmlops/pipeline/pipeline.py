"""A pipeline file: planned, drawn, run and shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from nbmlops.config import Settings
from nbmlops.engines import get_engine
from nbmlops.entities import Exported, PipelineSpec
from nbmlops.errors import NotFoundError, PipelineRunError, UsageError
from nbmlops.pipeline.runner.plan import check_needs, plan
from nbmlops.pipeline.runner.planner import Planner
from nbmlops.pipeline.runner.runner import Runner
from nbmlops.pipeline.runner.step_runs import Actions
from nbmlops.pipeline.spec.draft import NotebookSignature
from nbmlops.pipeline.spec.file import read_pipeline, settings_of
from nbmlops.pipeline.spec.overrides import override, parse_overrides
from nbmlops.render.pipelines import Graph, PlanView, ReportView, StatusView
from nbmlops.store import Store
from nbmlops.tracking.provenance.replay_notebook import refuse_in_replay

if TYPE_CHECKING:
    from nbmlops.execution.progress.writer import ProgressWriter


class Pipeline:
    """A pipeline that was read from its file and found to be right.

    Parameters
    ----------
    spec : PipelineSpec
        The pipeline.
    signatures : Mapping of str to NotebookSignature
        What its notebooks declare.
    settings : Settings
        The project's.
    store : Store, optional
        Where its runs are recorded; the project's store by default.

    Attributes
    ----------
    spec : PipelineSpec
        The pipeline.
    """

    actions: ClassVar[Actions | None] = None

    def __init__(
        self,
        spec: PipelineSpec,
        signatures: Mapping[str, NotebookSignature],
        settings: Settings,
        *,
        store: Store | None = None,
    ) -> None:
        self.spec = spec
        self._signatures, self._settings, self._store = signatures, settings, store

    @classmethod
    def load(cls, path: str | Path, *, store: Store | None = None) -> Self:
        """Return the pipeline in a file.

        Parameters
        ----------
        path : str or Path
            The file.
        store : Store, optional
            The project's store by default.

        Returns
        -------
        Pipeline
            All of it was checked.

        Raises
        ------
        NotFoundError
            There is no such file.
        PipelineFileError
            Something is wrong with it, or with a notebook or file that it names; all
            that is wrong is said at once, each with its line.
        """
        settings = store.settings if store else settings_of(Path(path))
        spec, signatures = read_pipeline(path, settings=settings)
        return cls(spec, signatures, settings, store=store)

    def __repr__(self) -> str:
        return repr(self.graph())

    def _repr_html_(self) -> str:
        return self.graph()._repr_html_()

    @property
    def file(self) -> str:
        """Its file, relative to the project."""
        return os.path.relpath(self.spec.path, self._settings.project)

    def graph(self) -> Graph:
        """Return the steps and what they need.

        Returns
        -------
        Graph
            SVG in a notebook, else text.
        """
        return Graph(self.spec)

    def parse(self, params: Iterable[tuple[str, str]]) -> dict[str, object]:
        """Return a command line's params as values of the declared types.

        Parameters
        ----------
        params : iterable of (str, str)
            ``step.name`` or a shared name, and what was typed.

        Returns
        -------
        dict of str to object
            As `run` takes them.
        """
        return parse_overrides(self.spec, self._signatures, params)

    def plan(
        self,
        *,
        params: Mapping[str, object] | None = None,
        force: bool | str | Iterable[str] = False,
        from_step: str | None = None,
    ) -> PlanView:
        """Return what a run would do with each step, and why.

        Parameters
        ----------
        params : Mapping of str to object, optional
            As for `run`.
        force : bool, str or iterable of str, default=False
            As for `run`.
        from_step : str, optional
            As for `run`.

        Returns
        -------
        PlanView
            It shows itself; ``.steps`` are the facts.

        Raises
        ------
        UsageError
            A param or a step is unknown, or a value is of another type.
        """
        planner = self._planner(params or {}, force, from_step=from_step)
        return PlanView(self.spec.name, plan(planner))

    def run(
        self,
        *,
        params: Mapping[str, object] | None = None,
        engine: str = "local",
        jobs: int | None = None,
        force: bool | str | Iterable[str] = False,
        from_step: str | None = None,
        keep_going: bool = False,
        step: str | None = None,
        retries: bool = True,
        say: Callable[[str], None] | None = None,
        progress: ProgressWriter | None = None,
    ) -> ReportView:
        """Run what has changed, and return how each step ended.

        Parameters
        ----------
        params : Mapping of str to object, optional
            Values by ``step.name``, or by a name of the file's ``params``. A grid over
            that parameter is one run with this value.
        engine : {"local", "dask"}, default="local"
            Where steps run: in processes of this machine, or on the Dask cluster that
            the project names.
        jobs : int, optional
            Steps at once, at least 1; by default as many as there are cores, or threads
            of Dask workers.
        force : bool, str or iterable of str, default=False
            Steps to run whatever is kept; True for all but those done ``once``.
        from_step : str, optional
            A step to run whatever is kept, with all that come behind it but those
            done ``once``.
        keep_going : bool, default=False
            Whether the steps that do not need a failed one go on.
        step : str, optional
            Run this one alone; the results of those it needs are kept.
        retries : bool, default=True
            Whether steps are begun again as the file says, or that is for the caller.
        say : callable, optional
            Given a line whenever something happens.
        progress : ProgressWriter, optional
            Where the progress is written; a new one by default.

        Returns
        -------
        ReportView
            It shows itself; ``.report`` are the facts. Every step is cached or done.

        Raises
        ------
        UsageError
            A param, a step or the engine is unknown, or a value is of another type; a
            worker of the cluster cannot run steps of this project; a step before the
            one to run is not done.
        DependencyError
            The engine needs a package that is missing.
        EngineError
            The cluster does not answer.
        PipelineRunError
            A step failed; its ``report`` has all of them.
        KeyboardInterrupt
            Someone interrupted it: once to let running steps finish, twice to stop.
        """
        refuse_in_replay("run pipelines")
        if jobs is not None and (type(jobs) is not int or jobs < 1):
            raise UsageError(f"The jobs are {jobs!r}.", fix="Give 1 or more.")
        planner = self._planner(params or {}, force, step, from_step)
        store = self._connect()
        from nbmlops.pipeline.runner.run_recorder import RunRecorder

        with closing(get_engine(engine, store.settings)) as found:
            runner = Runner(
                planner,
                RunRecorder(store, planner.spec, params or {}),
                engine=found,
                jobs=jobs,
                keep_going=keep_going,
                may_retry=retries,
                say=say or (lambda _line: None),
                progress=progress,
            )
            report = runner.run()
        if runner.was_interrupted:
            raise KeyboardInterrupt
        failed = [each for each in report.steps if each.state == "failed"]
        if failed:
            problems = [f"Step {each.step!r}: {each.why}" for each in failed]
            if left := sum(each.state == "not run" for each in report.steps):
                problems.append(
                    f"{left} step{'s were' * (left > 1) or ' was'} not run."
                )
            raise PipelineRunError(
                " ".join(problems),
                fix="Fix it and run it again: it continues from what is done.",
                report=report,
                may_pass=runner.may_pass,
            )
        return ReportView(report)

    def export(
        self,
        to: str,
        *,
        params: Mapping[str, object] | None = None,
        path: str | Path | None = None,
        force: bool = False,
    ) -> Exported:
        """Return the pipeline as a file of another tool that runs its steps.

        Parameters
        ----------
        to : {"airflow", "github"}
            A DAG file of Airflow 3, or a workflow of GitHub Actions.
        params : Mapping of str to object, optional
            As for `run`: values for all runs.
        path : str or Path, optional
            Where to write it.
        force : bool, default=False
            Whether to replace a file that was not exported, or was edited since.

        Returns
        -------
        Exported
            Its ``text`` is the same for the same pipeline.

        Raises
        ------
        UsageError
            The tool or a param is unknown, or a value cannot be written for it.
        ConflictError
            There is a file that was not exported, or was edited since.
        """
        from nbmlops.pipeline.exports import export

        return export(
            override(self.spec, self._signatures, params or {}),
            to,
            params=params or {},
            settings=self._settings,
            path=None if path is None else Path(path),
            force=force,
        )

    def status(self) -> StatusView:
        """Return the last run of the pipeline and its steps, as MLflow has them.

        What journals of the project still hold is sent first, and runs whose process is
        gone are ended.

        Returns
        -------
        StatusView
            It shows itself; ``.report`` are the facts.

        Raises
        ------
        NotFoundError
            It was not run yet.
        StoreError
            The store does not answer.
        """
        from nbmlops.pipeline.status import last_report

        report = last_report(self._connect(), self.spec)
        if report is None:
            raise NotFoundError(
                f"Pipeline {self.spec.name!r} was not run yet.",
                fix=f"Run it with: nbmlops pipeline run {Path(self.spec.path).name}",
            )
        return StatusView(*report)

    def _connect(self) -> Store:
        from nbmlops.store import connect

        return self._store or connect(self._settings, must_answer=False)

    def _planner(
        self,
        params: Mapping[str, object],
        force: bool | str | Iterable[str],
        only: str | None = None,
        from_step: str | None = None,
    ) -> Planner:
        spec = override(self.spec, self._signatures, params)
        if isinstance(force, bool):
            force = ("*",) if force else ()
        names = {force} if isinstance(force, str) else set(force)
        if from_step is not None:
            behind = (spec.step(name) for name in spec.downstream({from_step}))
            names |= {from_step, *(step.name for step in behind if not step.once)}
        planner = Planner(
            spec,
            self._signatures,
            self._settings,
            force=names,
            only=only,
            store=self._store,
            actions=self.actions,
        )
        if only is not None:
            check_needs(planner, only)
        return planner
