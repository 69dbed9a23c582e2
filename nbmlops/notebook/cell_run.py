"""A run that cells are being recorded to, and what it is given at its end."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from nbmlops._hashing import code_hash
from nbmlops.entities import Autologged
from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.notebook.magics.options import TrackOptions
from nbmlops.notebook.output.figures import FigureCollector
from nbmlops.notebook.output.live import LivePanel, has_commands
from nbmlops.render.formats import format_number
from nbmlops.render.tables import RunLine
from nbmlops.store.mlflow_logs import MlflowLogCapture
from nbmlops.tracking.autolog import Recorder
from nbmlops.tracking.run.failures import Failures, error_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.entities import Order
    from nbmlops.tracking.provenance.cells import History
    from nbmlops.tracking.resources.budget import BudgetWatchdog
    from nbmlops.tracking.resources.usage import ResourceUsage
    from nbmlops.tracking.run.active import ActiveRun

_MAX_METRICS = 12
_WARNINGS = "nbmlops/mlflow-warnings.txt"

Pairs = tuple[tuple[str, str], ...]
"""Names, and the expressions that give their values."""


class CellRun:
    """A run that cells are being recorded to."""

    def __init__(
        self,
        run: ActiveRun,
        options: TrackOptions,
        shell: InteractiveShell,
        history: History,
        *,
        source: str,
        watchdog: BudgetWatchdog | None,
        is_lasting: bool,
    ) -> None:
        self.run = run
        self._history = history
        self._first = len(history.cells) - 1
        self._order: Order | None = None
        self.options = options
        self.sources = [source]
        self.notes: list[str] = []
        self.failures = Failures()
        self.is_running = False
        self._shell = shell
        self._watchdog = watchdog
        self._reason: str | None = None
        self._figures = FigureCollector(shell)
        self._mlflow_logs = MlflowLogCapture()
        self._fits = Recorder()
        self.enter()
        self.live = LivePanel(self, shell, is_lasting=is_lasting)

    @property
    def usage(self) -> ResourceUsage:
        """What the run takes."""
        return self.run.usage

    def enter(self) -> None:
        """Begin a cell of the run."""
        self.is_running = True
        self._mlflow_logs.hold()
        if self.options.has_autolog:
            self._fits.start()
        if self._watchdog:
            self._watchdog.enter(self.usage.memory)

    def suppress_logs(self) -> None:
        """Capture MLflow's logs, should it have been loaded in the meantime."""
        if self.is_running:
            self._mlflow_logs.hold()

    def leave(self) -> str | None:
        """End a cell of the run, and return what of its budget is used up, if so."""
        self.is_running = False
        self._fits.stop()
        self._mlflow_logs.release()
        return self._watchdog.leave() if self._watchdog else None

    def params(self) -> dict[str, str]:
        """Return the params worth showing: the user's first, then what was changed."""
        params = self.run.params
        return Autologged.of(params, self.run.tags).shown(params)

    def assigned(self) -> set[str]:
        """Return the names that the cells set."""
        from nbmlops.tracking.run.capture import assigned_names

        return set(assigned_names("\n".join(self.sources)))

    def line(self, *, is_open: bool = False) -> RunLine:
        """Return one line on the run."""
        run = self.run
        changes = None if run.changes is None else ", ".join(run.changes) or "nothing"
        shown = {} if is_open or self.live.is_shown else run.metrics
        facts = [
            f"experiment {run.experiment}",
            *(
                f"{k} {format_number(v)}"
                for k, v in islice(shown.items(), _MAX_METRICS)
            ),
            *([f"{len(shown):,} metrics"] if len(shown) > _MAX_METRICS else []),
            *(["model stored"] if run.model_id else []),
            *([f"attempt {run.attempt}, changed: {changes}"] if changes else []),
            *(
                [f"MLflow warned, see {_WARNINGS}"]
                if self._mlflow_logs.warnings
                else []
            ),
        ]
        return RunLine(
            run.name[:80],
            run.run_id,
            facts,
            [*self.notes, *self.failures.notes, *run.notes],
            order_note=self._order.note if self._order else None,
        )

    def finish(self, error: BaseException | None) -> NbmlopsError | None:
        """End the run, and return what it could not be given."""
        from nbmlops.tracking.resources.budget import RunKilled, RunKilledForGood

        self._figures.stop()
        self._reason = self.leave()
        self._mlflow_logs.hold()
        if self._reason is None and isinstance(error, RunKilled | RunKilledForGood):
            self._reason = str(error)  # a budget of a run around this one, or inside it
        is_interrupt = isinstance(error, KeyboardInterrupt | CancelledError)
        if self._reason is None and is_interrupt and has_commands(self._shell):
            self._reason = "stopped by the user"
        self.run.note_error(error)
        problem: NbmlopsError | None = None
        try:
            self._record_source()
            problem = self._collect(is_whole=error is None)
        except NbmlopsError as failure:
            problem = failure
        except BaseException as interrupt:
            self._close(error or interrupt)
            raise
        try:
            self._close(error or problem)
        except NbmlopsError as failure:
            problem = failure
        return problem

    def _close(self, error: BaseException | None) -> None:
        from nbmlops.tracking.run.status import status_of

        status = "KILLED" if self._reason else status_of(error)
        try:
            if self._reason is None:
                self.run.close(error, because=_where(error))
            else:
                self.run.log_tags({"nbmlops.ended_because": self._reason})
                self.run.close(status="KILLED")
        finally:
            self._mlflow_logs.release()
            self.live.end(status, self._reason)

    def _record_source(self) -> None:
        """Record what ran and in which order; of a syntax error nothing ran."""
        with self.failures.caught("the code"):
            self.run.log_tags({"nbmlops.code_hash": code_hash(self.sources)})
        if self._first < len(self._history.cells):
            with self.failures.caught("the order of the cells"):
                from nbmlops.tracking.provenance.provenance import keep_cells

                is_cell = self._first == len(self._history.cells) - 1
                if not is_cell:  # a cell has its own since before it ran
                    self._history.cells[-1].expressions = self.options.expressions
                self._order = keep_cells(
                    self.run,
                    self._history,
                    kind="cell" if is_cell else "session",
                    params=[text for _, text in self.options.params],
                    first=self._first,
                )
                self.run.log_tags(self._order.tags())

    def _collect(self, *, is_whole: bool) -> NbmlopsError | None:
        """Log what the line asks for, each by itself, and return the first refusal."""
        run, options = self.run, self.options
        problems: list[NbmlopsError] = []
        asked: list[tuple[str, Pairs, Callable[[str, Any], object]]] = [
            ("param", options.params, lambda key, v: run.log_params(**{key: v})),
            ("metric", options.metrics, lambda key, v: run.log_metrics({key: v})),
            ("dataset", options.datasets, lambda key, v: run.log_dataset(v, name=key)),
        ]
        for kind, pairs, log in asked:
            for name, expression in pairs:
                try:
                    with self.failures.caught(f"{kind} {name!r}"):
                        log(name, evaluate(self._shell, expression))
                except UsageError as problem:
                    problems.append(problem)
        for name, content in self._figures.figures:
            run.log_bytes(content, f"figures/{name}")
        if self._mlflow_logs.warnings:
            text = "\n".join([*self._mlflow_logs.warnings, ""])
            run.log_bytes(text.encode(), _WARNINGS)
        if options.has_autolog:
            with self.failures.caught("what was fitted"):
                self._autolog(is_whole=is_whole)
        self.failures.log(run)
        return problems[0] if problems else None

    def _autolog(self, *, is_whole: bool) -> None:
        from nbmlops.tracking.autolog import log_fits, log_model
        from nbmlops.tracking.run.capture import assigned_names, data_names, find_model

        source = "\n".join(self.sources)
        data = data_names(source, [text for _, text in self.options.datasets])
        try:
            notes = log_fits(
                self.run,
                self._fits,
                self._shell.user_ns,
                data,
                has_models=is_whole,
                trust=self.options.is_trusting,
            )
        except UsageError as refusal:
            notes = [f"what was fitted was not recorded: {refusal}"]
        self.notes.extend(notes)
        has_model = self.run.model_id is not None
        if self._fits.is_aside and not has_model:
            recorded = self.run.recorded()
            has_model = recorded is not None and recorded.model_id is not None
        namespace = self._shell.user_ns
        found = find_model(namespace, assigned_names(source))
        if is_whole and not has_model and found is not None:
            name, model = found
            with self.failures.caught("the model"):
                self.notes += log_model(
                    self.run,
                    model,
                    namespace,
                    data,
                    name=f"model {name!r}",
                    trust=self.options.is_trusting,
                )


def evaluate(shell: InteractiveShell, expression: str) -> Any:  # noqa: ANN401
    """Return the value of an expression over the user's variables."""
    try:
        return eval(expression, shell.user_global_ns, shell.user_ns)  # noqa: S307
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        raise UsageError(
            f"{expression!r} could not be looked up: {error_text(error)}.",
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
