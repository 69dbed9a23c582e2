"""Tracking in one IPython shell: which run is open, and when it ends."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from nbmlops._hashing import code_hash
from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.notebook.cell import blank_track_line, python_of, split_track
from nbmlops.notebook.figures import FigureCollector
from nbmlops.notebook.options import TrackOptions, parse_track
from nbmlops.render import RunLine, number

if TYPE_CHECKING:
    from IPython.core.interactiveshell import (
        ExecutionInfo,
        ExecutionResult,
        InteractiveShell,
    )

    from nbmlops.tracking import OpenRun
    from nbmlops.tracking.record import Kind


class Tracked:
    """A run that cells are being recorded to."""

    def __init__(
        self, run: OpenRun, options: TrackOptions, shell: InteractiveShell
    ) -> None:
        self.run = run
        self.options = options
        self.sources: list[str] = []
        self.notes: list[str] = []
        self._shell = shell
        self._figures = FigureCollector(shell)

    def line(self) -> RunLine:
        """Return the line that tells the user about the run."""
        run = self.run
        facts = [
            f"experiment {run.experiment}",
            *(f"{key} {number(value)}" for key, value in run.metrics.items()),
            *(["model stored"] if run.model_id else []),
        ]
        return RunLine(run.name, run.run_id, facts, self.notes)

    def finish(self, error: BaseException | None) -> NbmlopsError | None:
        """End the run, and return what it could not be given.

        Parameters
        ----------
        error : BaseException or None
            What the code ended with.

        Returns
        -------
        NbmlopsError or None
            The first thing that was asked for and is missing.
        """
        self._figures.stop()
        self.run.note_error(error)
        problem: NbmlopsError | None = None
        try:
            self.run.log_tags({"nbmlops.code_hash": code_hash(self.sources)})
            problem = self._collect(is_whole=error is None)
        except NbmlopsError as failure:
            problem = failure
        finally:
            self.run.close(error or problem, because=_where(error))
        return None if error else problem

    def _collect(self, *, is_whole: bool) -> NbmlopsError | None:
        options, problems = self.options, []
        run = self.run
        for pairs, log in (
            (options.params, lambda name, value: run.log_params(**{name: value})),
            (options.metrics, lambda name, value: run.log(**{name: value})),
            (options.datasets, lambda name, value: run.log_dataset(value, name=name)),
        ):
            for name, expression in pairs:
                try:
                    log(name, evaluate(self._shell, expression))
                except UsageError as problem:
                    problems.append(problem)
        for name, content in self._figures.figures:
            run.log_bytes(content, f"figures/{name}")
        if options.has_autolog and is_whole and run.model_id is None:
            self._log_model()
        return problems[0] if problems else None

    def _log_model(self) -> None:
        from nbmlops.tracking.capture import (
            assigned_names,
            find_example,
            find_model,
            read_names,
        )

        source = "\n".join(self.sources)
        namespace = self._shell.user_ns
        found = find_model(namespace, assigned_names(source))
        if found is None:
            return
        named = [expression for _, expression in self.options.datasets]
        example = find_example(namespace, [*named, *read_names(source)], found[1])
        try:
            self.run.log_model(found[1], example)
        except UsageError as refusal:
            self.notes.append(f"model {found[0]!r} was not stored: {refusal}")
        else:
            if example is None:
                self.notes.append(
                    f"no data of the form {found[0]!r} was fitted on is named in the "
                    "cell, so the model has no input example and cannot be deployed"
                )


class Gate(ast.NodeTransformer):
    """Keeps the code of a cell from running, and has the cell raise the reason.

    IPython prints what an event callback raises and runs the cell all the same; what
    the cell's own code raises stops it, and the cells after it.

    Attributes
    ----------
    refusal : NbmlopsError or None
        Why the next cell must not run.
    """

    def __init__(self) -> None:
        self.refusal: NbmlopsError | None = None

    def visit(self, node: ast.AST) -> ast.AST:
        """Return the code to run: the cell's own, or a raise of the refusal."""
        if self.refusal is None:
            return node
        return ast.parse("get_ipython().nbmlops_session.refuse()")

    def take(self) -> NbmlopsError | None:
        """Return the refusal, which then no longer stands."""
        refusal, self.refusal = self.refusal, None
        return refusal


class Session:
    """What nbmlops adds to one IPython shell.

    Attributes
    ----------
    cell : Tracked or None
        The run of the ``%%track`` cell that is running.
    lasting : Tracked or None
        The run between ``%track on`` and ``%track off``.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._gate = Gate()
        self._source = ""
        self.cell: Tracked | None = None
        self.lasting: Tracked | None = None

    @property
    def active(self) -> Tracked:
        """The run that ``%track log`` writes to.

        Raises
        ------
        UsageError
            No run is open.
        """
        tracked = self.cell or self.lasting
        if tracked is None:
            raise UsageError(
                "No run is open.", fix="Begin one with %track on, or %%track a cell."
            )
        return tracked

    def attach(self) -> None:
        """Take part in every cell the shell runs."""
        self._shell.events.register("pre_run_cell", self.pre_run_cell)
        self._shell.events.register("post_run_cell", self.post_run_cell)
        self._shell.input_transformers_cleanup.append(blank_track_line)
        self._shell.ast_transformers.append(self._gate)

    def detach(self) -> None:
        """Leave the shell as it was found; an open run ends."""
        if self.lasting:
            self.turn_off()
        self._shell.events.unregister("pre_run_cell", self.pre_run_cell)
        self._shell.events.unregister("post_run_cell", self.post_run_cell)
        self._shell.input_transformers_cleanup.remove(blank_track_line)
        self._shell.ast_transformers.remove(self._gate)

    def pre_run_cell(self, info: ExecutionInfo) -> None:
        """Open the run of a ``%%track`` cell, or have the cell raise why not."""
        self._gate.refusal = None
        cell = info.raw_cell or ""
        split = split_track(cell)
        line, body = split or ("", cell)
        self._source = python_of(body)
        if split is None:
            if self.lasting:
                self.lasting.sources.append(self._source)
            return
        try:
            options = parse_track(line)
            if self.lasting and not options.is_nested:
                raise UsageError(
                    f"Run {self.lasting.run.name!r} is open.",
                    fix="End it with %track off, or add --nested to this cell.",
                )
            self.cell = self._open(options, "cell")
        except NbmlopsError as refusal:
            self._gate.refusal = refusal

    def refuse(self) -> None:
        """Raise why the cell must not run.

        Raises
        ------
        NbmlopsError
            As found before the cell.
        """
        refusal = self._gate.take()
        if refusal is not None:
            raise refusal

    def post_run_cell(self, result: ExecutionResult | None) -> None:
        """End the run of a ``%%track`` cell with the status the cell has earned."""
        error = _error_of(result)
        if self.cell is None:
            if self.lasting:
                self.lasting.run.note_error(error)
            return
        tracked, self.cell = self.cell, None
        problem = tracked.finish(error)
        if problem is not None and result is not None:
            result.error_in_exec = problem
            self._shell.showtraceback((type(problem), problem, None))
        elif error is None:
            self._show(tracked)

    def look_up(self, pairs: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        """Return the values of named expressions over the user's variables."""
        return {name: evaluate(self._shell, text) for name, text in pairs}

    def turn_on(self, options: TrackOptions) -> Tracked:
        """Open a run over many cells.

        Parameters
        ----------
        options : TrackOptions
            What ``%track on`` asks for.

        Returns
        -------
        Tracked
            The open run.

        Raises
        ------
        UsageError
            One is open already.
        """
        if self.lasting or self.cell:
            raise UsageError(
                f"Run {self.active.run.name!r} is open.", fix="End it with %track off."
            )
        self.lasting = self._open(options, "session")
        return self.lasting

    def turn_off(self) -> Tracked:
        """End the run over many cells, with the fate of the cell before.

        Returns
        -------
        Tracked
            The ended run.

        Raises
        ------
        UsageError
            None is open, or something it was asked to log is missing.
        """
        tracked = self.lasting
        if tracked is None:
            raise UsageError("No run is open.", fix="Begin one with %track on.")
        self.lasting = None
        problem = tracked.finish(tracked.run.error)
        if problem is not None:
            raise problem
        return tracked

    def _open(self, options: TrackOptions, kind: Kind) -> Tracked:
        from nbmlops.tracking import open_run

        parent = {}
        if self.lasting:
            parent = {"mlflow.parentRunId": self.lasting.run.run_id}
        run = open_run(
            name=options.name,
            kind=kind,
            experiment=options.experiment,
            tags={**dict(options.tags), **parent},
            notebook=self._shell.user_ns.get("__vsc_ipynb_file__"),
        )
        tracked = Tracked(run, options, self._shell)
        tracked.sources.append(self._source)
        return tracked

    def _show(self, tracked: Tracked) -> None:
        from IPython.display import display

        display(tracked.line())  # type: ignore[no-untyped-call]


def evaluate(shell: InteractiveShell, expression: str) -> Any:  # noqa: ANN401
    """Return the value of an expression over the user's variables.

    Parameters
    ----------
    shell : InteractiveShell
        Whose variables.
    expression : str
        Python.

    Returns
    -------
    object
        Its value.

    Raises
    ------
    UsageError
        It raised; the message names the expression.
    """
    try:
        return eval(expression, shell.user_global_ns, shell.user_ns)  # noqa: S307
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        raise UsageError(
            f"{expression!r} could not be looked up: {type(error).__name__}: {error}.",
            fix="Set it in the cell, or give it as NAME=EXPR.",
        ) from None


def _error_of(result: ExecutionResult | None) -> BaseException | None:
    if result is None:  # an awaiting cell that was interrupted
        return KeyboardInterrupt()
    return result.error_before_exec or result.error_in_exec


def _where(error: BaseException | None) -> str:
    trace = error.__traceback__ if error else None
    line = None
    while trace is not None:
        if "ipykernel_" in (name := trace.tb_frame.f_code.co_filename) or (
            name.startswith("<ipython-input")
        ):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line})" if line else ""
