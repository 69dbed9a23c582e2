"""How a kernel displays a table of runs: a static table, and one with buttons."""

from __future__ import annotations

import importlib
import os
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.notebook.output.runs_grid import RunsBrowser
    from nbmlops.render.runs.table import RunsTable

_VIEW = "application/vnd.jupyter.widget-view+json"
_MOST_BROWSERS = 10
# A notebook that is opened again has no widget: JupyterLab then writes an error in its
# place, as bare text, and shows nothing else of that output. So what stays is an output
# of its own, hidden by the widget while that is alive; and it hides such an error.
_HIDE_ERROR = (
    "<style>.jp-OutputArea-child:has(.{name})+.jp-OutputArea-child>"
    ".jupyter-widgets:not(:has(*)){{display:none}}</style>"
)


class RunsDisplay:
    """Displays tables of runs, and keeps the newest few of them alive."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._browsers: deque[RunsBrowser] = deque()

    def __call__(self, table: RunsTable) -> None:
        """Display a table: the static one first, then the one with buttons."""
        name = f"nbmlops-shown-{os.urandom(6).hex()}"
        hide = _HIDE_ERROR.format(name=name)
        html = f'{hide}<div class="{name}">{table._repr_html_()}</div>'
        self._display({"text/html": html, "text/plain": repr(table)})
        # In a kernel that runs a step there is no user to click.
        if len(table) and "MLFLOW_RUN_CONTEXT" not in os.environ:
            self._show_browser(table, name)

    def close(self) -> None:
        """Close every widget; the static table is visible again."""
        while self._browsers:
            self._browsers.popleft().close()

    def _display(self, data: dict[str, Any]) -> None:
        publisher: Any = self._shell.display_pub
        publisher.publish(data)

    def _show_browser(self, table: RunsTable, name: str) -> None:
        from nbmlops.notebook.output.runs_grid import RunsBrowser
        from nbmlops.store.runs.listing import RunListing

        if not isinstance(table.listing, RunListing):
            return
        browser = RunsBrowser(
            table.listing,
            compare=_compare,
            keep=table.keep,
            all_params=table.all_params,
            n_rows=len(table),
            hides=name,
        )
        self._browsers.append(browser)
        if len(self._browsers) > _MOST_BROWSERS:
            self._browsers.popleft().close()
        view = {
            "version_major": 2,
            "version_minor": 0,
            "model_id": browser.widget.model_id,
        }
        self._display({_VIEW: view, "text/plain": ""})


def _compare(first: str, second: str) -> Any:  # noqa: ANN401 - what shows itself
    return importlib.import_module("nbmlops.lifecycle").compare(first, second)
