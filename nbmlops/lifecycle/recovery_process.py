"""Ends the runs whose process is gone: the module that a process of its own runs."""

from __future__ import annotations

from contextlib import suppress

from nbmlops.config import load_settings
from nbmlops.errors import NbmlopsError


def main() -> None:
    """Do what ``nbmlops doctor --fix`` does, but only when there is a dead run."""
    # Not above: what starts the process loads this module, too.
    from nbmlops.lifecycle.doctor import doctor
    from nbmlops.tracking.sync.recovery import find_dead

    with suppress(NbmlopsError, OSError):  # shown when something is tracked
        if find_dead(load_settings()):
            doctor(fix=True)


if __name__ == "__main__":
    main()
