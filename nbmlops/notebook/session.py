"""Tracking in one IPython shell: which run is open, and when it ends."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.notebook.magics.cell import (
    blank_track_line,
    magic_above_track,
    split_track,
)
from nbmlops.notebook.magics.options import TrackOptions, parse_track
from nbmlops.tracking.provenance.cells import CellStatus, History
from nbmlops.tracking.provenance.magics import to_python
from nbmlops.tracking.provenance.opened_files import listen
from nbmlops.tracking.run.failures import error_text, write_trace

if TYPE_CHECKING:
    from IPython.core.interactiveshell import (
        ExecutionInfo,
        ExecutionResult,
        InteractiveShell,
    )

    from nbmlops.notebook.cell_run import CellRun, Pairs
    from nbmlops.tracking.resources.budget import Budget, BudgetWatchdog
    from nbmlops.tracking.run.start import RunKind


class CellBlocker(ast.NodeTransformer):
    """Keeps the code of a cell from running, and has the cell raise the reason.

    IPython prints what an event callback raises and runs the cell all the same; what
    the cell's own code raises stops it, and the cells after it.
    """

    def __init__(self) -> None:
        self.refusal: NbmlopsError | None = None

    def visit(self, node: ast.AST) -> ast.AST:
        """Return the code to run: the cell's own, or a raise of the refusal."""
        if self.refusal is None:
            return node
        return ast.parse("get_ipython().nbmlops_session.refuse()")

    def pop(self) -> NbmlopsError | None:
        """Return the refusal, once."""
        refusal, self.refusal = self.refusal, None
        return refusal


class Session:
    """What nbmlops adds to one IPython shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._blocker = CellBlocker()
        self._source = ""
        self._refused: NbmlopsError | None = None
        self.cell: CellRun | None = None
        self.lasting: CellRun | None = None
        self.history = History(shell)

    @property
    def active(self) -> CellRun:
        """The run that ``%track log`` writes to."""
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
        self._shell.ast_transformers.append(self._blocker)
        if self.history.cells:  # the rest of the cell that loads nbmlops
            listen(self.history.cells[-1].opened)

    def detach(self) -> None:
        """Leave the shell as it was found; an open run ends."""
        listen(None)
        if self.lasting:
            self.end_run()
        self._shell.events.unregister("pre_run_cell", self.pre_run_cell)
        self._shell.events.unregister("post_run_cell", self.post_run_cell)
        self._shell.input_transformers_cleanup.remove(blank_track_line)
        self._shell.ast_transformers.remove(self._blocker)

    def pre_run_cell(self, info: ExecutionInfo) -> None:
        """Open the run of a ``%%track`` cell, or have the cell raise why not."""
        with self._reported("begin"):
            self._begin_cell(info)
            listen(self.history.cells[-1].opened)

    def post_run_cell(self, result: ExecutionResult | None) -> None:
        """End the run of a ``%%track`` cell with the status of the cell."""
        listen(None)
        with self._reported("end"):
            self._end_cell(result)

    @contextmanager
    def _reported(self, when: str) -> Iterator[None]:
        """Report a fault of nbmlops in one line; IPython would print its trace."""
        try:
            yield
        except (Exception, SystemExit) as error:  # noqa: BLE001
            trace = write_trace(error)
            text = error_text(error).partition("\n")[0][:200]
            sys.stderr.write(
                f"nbmlops could not record the {when} of this cell: {text} ({trace})\n"
            )

    def _begin_cell(self, info: ExecutionInfo) -> None:
        self._show_shell()
        _flush_pending()
        self._blocker.refusal = None
        cell = info.raw_cell or ""
        self.history.begin(cell, getattr(info, "cell_id", None))
        split = split_track(cell)
        line, body = split or ("", cell)
        self._source = to_python(body)
        if self.lasting:
            self.lasting.enter()
        if split is None:
            if hiding := magic_above_track(cell):
                self._blocker.refusal = UsageError(
                    "%%track must be the first line of the cell.",
                    fix=f"Put %%{hiding} below it.",
                )
            if self.lasting:
                self.lasting.sources.append(self._source)
            return
        try:
            options = parse_track(line)
            self.history.cells[-1].expressions = options.expressions
            if self.lasting and not options.is_nested:
                raise UsageError(
                    f"Run {self.lasting.run.name!r} is open.",
                    fix="End it with %track off, or add --nested to this cell.",
                )
            self.cell = self._open(options, "cell", cell_id=info.cell_id)
        except NbmlopsError as refusal:
            self._blocker.refusal = refusal

    def _show_shell(self) -> None:
        """Show the shell also to what runs between cells, as IPython does to cells.

        pandas, imported with MLflow there, would take this for a terminal and show
        frames differently.
        """
        vars(builtins).setdefault("get_ipython", self._shell.get_ipython)

    def refuse(self) -> None:
        """Raise why the cell must not run."""
        self._refused = refusal = self._blocker.pop()
        if refusal is not None:
            raise refusal

    def _end_cell(self, result: ExecutionResult | None) -> None:
        self._show_shell()
        error = _error_of(result)
        self._note_end(result, error)
        for open_run in filter(None, (self.cell, self.lasting)):
            reason = open_run.leave()
            if reason is not None:
                error = self._killed(reason, error, result)
        tracked, self.cell = self.cell, None
        if tracked is not None:
            self._finish(tracked, error, result)
        elif self.lasting:
            self.lasting.run.note_error(error)
        if self.lasting and self.lasting.leave() is not None:
            tracked, self.lasting = self.lasting, None
            tracked.finish(error)

    def _finish(
        self,
        tracked: CellRun,
        error: BaseException | None,
        result: ExecutionResult | None,
    ) -> None:
        problem = tracked.finish(error)
        if error is not None:  # the cell shows its error itself
            notes = (*tracked.run.notes, *tracked.failures.notes)
            if notes and not tracked.live.is_shown:
                self._show(tracked)
        elif problem is not None and result is not None:
            self._fail(problem, result)
        elif not tracked.live.is_shown:
            self._show(tracked)

    def _killed(
        self, reason: str, error: BaseException | None, result: ExecutionResult | None
    ) -> BaseException:
        """Return what ended the cell; it is shown where the cell did not raise it."""
        from nbmlops.tracking.resources.budget import RunKilled, RunKilledForGood

        if isinstance(error, RunKilled | RunKilledForGood):
            return error
        killed = RunKilled(reason)
        self._fail(killed, result)
        return killed

    def _fail(self, problem: BaseException, result: ExecutionResult | None) -> None:
        if result is not None:
            result.error_in_exec = problem
        self._shell.showtraceback((type(problem), problem, None))

    def _note_end(
        self, result: ExecutionResult | None, error: BaseException | None
    ) -> None:
        """Note in the history how a cell ended; a refused one never began."""
        has_begun = result is None or result.error_before_exec is None
        ending: CellStatus | None = "finished" if error is None else "raised"
        if isinstance(error, KeyboardInterrupt):
            ending = "interrupted"
        if not has_begun or (error is not None and error is self._refused):
            ending = None
        self.history.end(ending=ending, count=getattr(result, "execution_count", None))

    def evaluate(self, pairs: Pairs) -> dict[str, Any]:
        """Return the values of named expressions over the user's variables."""
        from nbmlops.notebook.cell_run import evaluate

        return {name: evaluate(self._shell, text) for name, text in pairs}

    def start_run(self, options: TrackOptions) -> CellRun:
        """Open a run over many cells."""
        if self.lasting or self.cell:
            raise UsageError(
                f"Run {self.active.run.name!r} is open.", fix="End it with %track off."
            )
        self.lasting = self._open(options, "session")
        return self.lasting

    def end_run(self) -> CellRun:
        """End the run over many cells, with the status of the cell before."""
        tracked = self.lasting
        if tracked is None:
            raise UsageError("No run is open.", fix="Begin one with %track on.")
        self.lasting = None
        problem = tracked.finish(tracked.run.error)
        if problem is not None:
            raise problem
        return tracked

    def _open(
        self, options: TrackOptions, kind: RunKind, *, cell_id: str | None = None
    ) -> CellRun:
        from nbmlops.notebook.cell_run import CellRun
        from nbmlops.tracking.run.start import open_run

        watchdog = self._watchdog(options.budget)  # refuses a budget that is used up
        parent = {}
        if self.lasting:
            parent = {"mlflow.parentRunId": self.lasting.run.run_id}
        run = open_run(
            name=options.name,
            kind=kind,
            experiment=options.experiment,
            tags={**dict(options.tags), **parent},
            cell=cell_id,
        )
        return CellRun(
            run,
            options,
            self._shell,
            self.history,
            source=self._source,
            watchdog=watchdog,
            is_lasting=kind == "session",
        )

    def _watchdog(self, budget: Budget | None) -> BudgetWatchdog | None:
        if budget is None:
            return None
        from nbmlops.notebook.output.live import waker
        from nbmlops.tracking.resources.budget import BudgetWatchdog, stack

        # What is raised inside of these would leave the run open and the watchdog on.
        own = {Session.start_run.__code__, Session.end_run.__code__}

        def is_code(frame: FrameType | None) -> bool:
            frames = stack(frame)
            if any(each.f_code in own for each in frames):
                return False
            return any(each.f_globals is self._shell.user_global_ns for each in frames)

        return BudgetWatchdog(budget, is_code=is_code, wake=waker(self._shell))

    def _show(self, tracked: CellRun) -> None:
        from IPython.display import display

        display(tracked.line())  # type: ignore[no-untyped-call]


def _flush_pending() -> None:
    """Send what the cells before have logged, so that this one finds it."""
    if "nbmlops.tracking.sync.sender" in sys.modules:
        from nbmlops.tracking.provenance import files
        from nbmlops.tracking.sync import sender

        sender.flush_pending()
        files.wait_for_copies()


def _error_of(result: ExecutionResult | None) -> BaseException | None:
    if result is None:  # an awaiting cell that was interrupted
        return KeyboardInterrupt()
    return result.error_before_exec or result.error_in_exec
