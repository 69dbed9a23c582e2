"""An output of the cell that runs, replaced as what it shows goes on."""

from __future__ import annotations

import os
import time
from typing import Any

from nbmlops.render.tables import Renderable
from nbmlops.tracking.provenance.cells import running_shell

_MOST_LINES = 12
_MANY = 200
_PAUSE_S = 0.1  # once there are many, which may come at once


class CellOutput:
    """One output of the cell that runs, to be replaced from any thread.

    Nothing is shown outside of a kernel.
    """

    def __init__(self, shell: Any) -> None:  # noqa: ANN401 - IPython is not imported
        publisher = getattr(shell, "display_pub", None)
        self._publisher = publisher if hasattr(publisher, "pub_socket") else None
        self._parent = parent_of(shell)
        self._transient = {"display_id": f"nbmlops-{os.urandom(6).hex()}"}
        self._shown: dict[str, str] | None = None

    @property
    def is_shown(self) -> bool:
        """Whether there is something to replace."""
        return self._shown is not None

    def show(
        self, html: str, text: str, *, parent: dict[str, Any] | None = None
    ) -> None:
        """Show it, in place of what was shown."""
        data = {"text/html": html, "text/plain": text}
        if data == self._shown or self._publisher is None:
            return
        kind = "update_display_data" if self.is_shown else "display_data"
        self._shown = data
        self._publisher.session.send(
            self._publisher.pub_socket,
            kind,
            {"data": data, "metadata": {}, "transient": self._transient},
            parent=parent or self._parent,
            ident=self._publisher.topic,
        )


def parent_of(shell: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the header of the request a kernel is at; nothing outside of one."""
    publisher = getattr(shell, "display_pub", None)
    return getattr(publisher, "parent_header", None) or {}


class LiveOutput(Renderable):
    """The newest lines on what goes on, below its cell."""

    def __init__(self, title: str) -> None:
        self._lines = [title]
        self._output = CellOutput(running_shell())
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
        shown = what or self
        self._output.show(shown._repr_html_(), repr(shown))
        self._shown_at = time.monotonic()
