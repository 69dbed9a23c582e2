"""Sends a project's journals: the module that a process of its own runs."""

from __future__ import annotations

from contextlib import suppress

from filelock import FileLock, Timeout

from nbmlops.config import load_settings
from nbmlops.errors import NbmlopsError


def main() -> None:
    """Send what journals hold, when no process is about to do so anyway."""
    with suppress(NbmlopsError, OSError):  # `nbmlops sync` says why
        home = load_settings().home
        waiting, sending = (
            FileLock(home / "sync-next.lock"),
            FileLock(home / "sync.lock"),
        )
        try:
            waiting.acquire(timeout=0)
        except Timeout:
            return
        with sending:
            waiting.release()
            from nbmlops.tracking.sync.sync import sync

            sync()


if __name__ == "__main__":
    main()
