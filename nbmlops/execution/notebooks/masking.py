"""An executed notebook without the secrets that have come up so far."""

from __future__ import annotations

from typing import Any

from nbmlops._masking import mask_notebook, secrets_of

_TIMES = {
    "papermill": {"exception", "start_time", "end_time", "duration", "status"},
    "execution": {
        "iopub.execute_input",
        "iopub.status.busy",
        "iopub.status.idle",
        "shell.execute_reply",
    },
}
"""Metadata of a cell, with its keys: when it ran, and its state."""


class OutputMasker:
    """Masks a notebook, cell by cell while it runs and whole at the end."""

    def __init__(self) -> None:
        self.secrets: frozenset[str] = frozenset()

    def masked(self, node: Any) -> Any:  # noqa: ANN401
        """Return a notebook, or a cell of one, without the secrets known by now."""
        is_cell = "cells" not in node
        cells = [node] if is_cell else node["cells"]
        # The times in it are ours, each of them new, and hide nothing.
        times = [_times_of(cell) for cell in cells]
        plain = [
            _without(cell, found) for cell, found in zip(cells, times, strict=True)
        ]
        whole = {"cells": plain} if is_cell else {**node, "cells": plain}
        self.secrets |= secrets_of(whole)
        masked = mask_notebook(whole, self.secrets)
        for cell, found in zip(masked["cells"], times, strict=True):
            cell["metadata"] |= found
        return masked["cells"][0] if is_cell else masked


def _times_of(cell: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        name: dict(value)
        for name, value in cell["metadata"].items()
        if name in _TIMES and isinstance(value, dict) and _TIMES[name].issuperset(value)
    }


def _without(cell: Any, found: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    metadata = {k: v for k, v in cell["metadata"].items() if k not in found}
    return {**cell, "metadata": metadata}
