"""Lines below the cell that runs, of which the newest are seen."""

from __future__ import annotations

import os
import time

from nbmlops.render.tables import Renderable
from nbmlops.tracking.provenance.cells import running_shell

_MOST_LINES = 12
_MANY = 200
_PAUSE_S = 0.1  # once there are many, which may come at once


class LiveOutput(Renderable):
    """The newest lines on what goes on, below its cell; nothing outside a notebook."""

    def __init__(self, title: str) -> None:
        self._lines = [title]
        shell = running_shell()
        is_notebook = getattr(shell, "kernel", None) is not None
        self._publisher = shell.display_pub if is_notebook else None
        self._id = f"nbmlops-{os.urandom(6).hex()}"
        self._is_shown = False
        self._shown_at = 0.0

    def __repr__(self) -> str:
        return "\n".join(self._lines[-_MOST_LINES:])

    def add(self, line: str) -> None:
        """Show one more line."""
        self._lines.append(line)
        if len(self._lines) < _MANY or time.monotonic() - self._shown_at > _PAUSE_S:
            self.show()

    def show(self, what: Renderable | None = None) -> None:
        """Show something in place of what is there; by default the newest lines."""
        if self._publisher is None:
            return
        shown = what or self
        self._publisher.publish(
            {"text/plain": repr(shown), "text/html": shown._repr_html_()},
            transient={"display_id": self._id},
            update=self._is_shown,
        )
        self._is_shown, self._shown_at = True, time.monotonic()
