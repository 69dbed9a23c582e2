"""``%load_ext nbmlops``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.notebook.magics.magics import NbmlopsMagics
from nbmlops.notebook.output.show_runs import RunsDisplay
from nbmlops.notebook.session import Session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_SESSION = "nbmlops_session"
_TABLE = "nbmlops.render.runs.table.RunsTable"


def load(shell: InteractiveShell) -> None:
    """Add the magics and the tracked cell to a shell, once."""
    if getattr(shell, _SESSION, None) is not None:
        return
    session = Session(shell)
    session.attach()
    setattr(shell, _SESSION, session)
    shell.register_magics(NbmlopsMagics(shell, session))
    if hasattr(shell, "kernel"):
        _displays(shell).for_type_by_name(*_TABLE.rsplit(".", 1), RunsDisplay(shell))
    _start_reaper()


def _start_reaper() -> None:
    """Start a process that ends the runs of dead kernels.

    This kernel may end at once, so nothing is left to a thread of it.
    """
    with suppress(OSError):
        here = Path.cwd()
        for folder in (here, *here.parents):
            home = folder / ".nbmlops"
            if home.is_dir():
                if any((home / "journal").iterdir()):
                    from nbmlops.lifecycle import recovery_process
                    from nbmlops.processes import start_process

                    start_process(recovery_process, folder)
                break


def unload(shell: InteractiveShell) -> None:
    """Take away what `load` added; an open run ends."""
    session = getattr(shell, _SESSION, None)
    if session is not None:
        session.detach()
        setattr(shell, _SESSION, None)
    shown = _displays(shell).pop(_TABLE, None)
    if shown is not None:
        shown.close()


def _displays(shell: InteractiveShell) -> Any:  # noqa: ANN401 - IPython's, untyped
    formatter: Any = shell.display_formatter
    return formatter.ipython_display_formatter
