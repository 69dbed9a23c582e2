"""``%load_ext nbmlops``."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError
from nbmlops.notebook.magics import NbmlopsMagics
from nbmlops.notebook.session import Session
from nbmlops.notebook.show_runs import RunsDisplay

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_SESSION = "nbmlops_session"
_TABLE = "nbmlops.render.runs.RunsTable"


def load(shell: InteractiveShell) -> None:
    """Add the magics and the tracked cell to a shell, once.

    Parameters
    ----------
    shell : InteractiveShell
        The shell; nothing happens when it has them.
    """
    if getattr(shell, _SESSION, None) is not None:
        return
    session = Session(shell)
    session.attach()
    setattr(shell, _SESSION, session)
    shell.register_magics(NbmlopsMagics(shell, session))
    if hasattr(shell, "kernel"):
        _displays(shell).for_type_by_name(*_TABLE.rsplit(".", 1), RunsDisplay(shell))
    threading.Thread(target=_reap, name="nbmlops reaper", daemon=True).start()


def _reap() -> None:
    """End the runs that earlier kernels left behind."""
    from nbmlops.config import load_settings

    with suppress(NbmlopsError, OSError):  # told when something is tracked
        settings = load_settings()
        if any((settings.home / "journal").glob("*/state")):
            from nbmlops.tracking.reaper import reap_beside

            reap_beside(settings)


def unload(shell: InteractiveShell) -> None:
    """Take away what `load` added; an open run ends.

    Parameters
    ----------
    shell : InteractiveShell
        The shell.
    """
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
