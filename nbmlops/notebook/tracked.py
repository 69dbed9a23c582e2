"""A run that cells are being recorded to, and what it is given at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbmlops._hashing import code_hash
from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.notebook.figures import FigureCollector
from nbmlops.notebook.options import TrackOptions
from nbmlops.render import RunLine, number

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.tracking import OpenRun
    from nbmlops.tracking.cells import History
    from nbmlops.tracking.origin import Order

Pairs = tuple[tuple[str, str], ...]
"""Names, and the expressions that give their values."""


class Tracked:
    """A run that cells are being recorded to."""

    def __init__(
        self,
        run: OpenRun,
        options: TrackOptions,
        shell: InteractiveShell,
        history: History,
    ) -> None:
        self.run = run
        self._history = history
        self._first = len(history.cells) - 1
        self._order: Order | None = None
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
            *(["out of order"] if self._order and self._order.cells else []),
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
            order = self._keep_cells()
            tags = {"nbmlops.code_hash": code_hash(self.sources), **order.tags()}
            self.run.log_tags(tags)
            problem = self._collect(is_whole=error is None)
        except NbmlopsError as failure:
            problem = failure
        except BaseException as interrupt:
            self.run.close(error or interrupt)
            raise
        try:
            self.run.close(error or problem, because=_where(error))
        except NbmlopsError as failure:
            problem = failure
        return problem

    def _keep_cells(self) -> Order:
        from nbmlops.tracking.origin import keep_cells

        is_cell = self._first == len(self._history.cells) - 1
        if not is_cell:  # a cell has its own since before it ran
            self._history.cells[-1].expressions = self.options.expressions
        self._order = keep_cells(
            self.run,
            self._history,
            kind="cell" if is_cell else "session",
            params=[text for _, text in self.options.params],
            first=self._first,
            notebook=self._shell.user_ns.get("__vsc_ipynb_file__"),
        )
        if self._order.cells:
            self.notes.append(self._order.note())
        return self._order

    def _collect(self, *, is_whole: bool) -> NbmlopsError | None:
        from nbmlops.tracking.record import to_number

        run, options = self.run, self.options
        problems: list[NbmlopsError] = []

        def values(
            pairs: Pairs, log: Callable[[str, Any], object] | None = None
        ) -> dict[str, Any]:
            found = {}
            for name, expression in pairs:
                try:
                    value = evaluate(self._shell, expression)
                    found[name] = log(name, value) if log else value
                except UsageError as problem:
                    problems.append(problem)
            return found

        run.log_params(**values(options.params))
        run.log_metrics(values(options.metrics, to_number))
        values(options.datasets, lambda name, data: run.log_dataset(data, name=name))
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
