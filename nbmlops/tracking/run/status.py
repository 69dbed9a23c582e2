"""How a run's code ended, and what that makes of the run."""

from __future__ import annotations

import sys

from nbmlops.entities import RunStatus


def status_of(error: BaseException | None) -> RunStatus:
    """Return the status a run has earned when its code ended with ``error``.

    >>> status_of(None), status_of(KeyboardInterrupt()), status_of(SystemExit(0))
    ('FINISHED', 'KILLED', 'FAILED')
    """
    if error is None:
        return "FINISHED"
    asyncio = sys.modules.get("asyncio")  # else nothing was cancelled
    cancelled = asyncio.CancelledError if asyncio else KeyboardInterrupt
    is_interrupt = isinstance(error, (KeyboardInterrupt, cancelled))
    return "KILLED" if is_interrupt else "FAILED"


def uncaught() -> BaseException | None:
    """Return what ended this script; under IPython, cells tell it to the run."""
    is_interactive = "IPython" in sys.modules
    return None if is_interactive else getattr(sys, "last_value", None)
