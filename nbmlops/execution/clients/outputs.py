"""What a run says, as outputs of the cells of a notebook."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_FIELDS = {
    "stream": ("name", "text"),
    "display_data": ("data", "metadata"),
    "update_display_data": ("data", "metadata"),
    "execute_result": ("data", "metadata", "execution_count"),
    "error": ("ename", "evalue", "traceback"),
}
_WIDGETS = "application/vnd.jupyter.widget-state+json"


def storable(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a cell has shown as a notebook may hold it."""
    return {
        kind: value if isinstance(value, str) or _is_json(kind) else json.dumps(value)
        for kind, value in data.items()
    }


def _is_json(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")


class Outputs:
    """Fills the cells of a notebook as a notebook client does."""

    def __init__(self, notebook: Any) -> None:  # noqa: ANN401
        self._notebook = notebook
        self._index = 0
        self._cell: Any = None
        self._is_to_be_cleared = False
        self._displays: dict[str, dict[int, list[int]]] = {}
        self._widgets: dict[str, dict[str, Any]] = {}
        self._buffers: dict[str, dict[tuple[str, ...], dict[str, Any]]] = {}

    def begin(self, index: int) -> None:
        """Take what comes from now on for the outputs of a cell."""
        self._index, self._cell = index, self._notebook.cells[index]
        self._cell.outputs = []
        self._cell.metadata["execution"] = {"iopub.status.busy": _now()}
        self._is_to_be_cleared = False

    def end(self) -> None:
        """Note when the cell was answered."""
        self._cell.metadata["execution"] |= {
            "iopub.status.idle": _now(),
            "shell.execute_reply": _now(),
        }

    def take(self, document: Mapping[str, Any]) -> None:
        """Add what a run said to the cell's outputs, or change those that are there."""
        kind, content = document["type"], document["content"]
        if "execution_count" in content and kind != "execute_reply":
            self._cell["execution_count"] = content["execution_count"]
        if kind == "execute_input":
            self._cell.metadata["execution"]["iopub.execute_input"] = _now()
        elif kind == "clear_output":
            self._is_to_be_cleared = bool(content.get("wait"))
            if not self._is_to_be_cleared:
                self._clear()
        elif kind.startswith("comm_"):
            self._note_widget(content, document.get("buffers", ()))
        elif kind in _FIELDS:
            self._add(kind, content)

    def _add(self, kind: str, content: Mapping[str, Any]) -> None:
        from nbformat import from_dict

        display = (content.get("transient") or {}).get("display_id")
        fields = {name: content[name] for name in _FIELDS[kind]}
        if "data" in fields:
            fields["data"] = storable(fields["data"])
        output = from_dict({"output_type": kind, **fields})  # type: ignore[no-untyped-call]
        if display and kind != "stream":
            self._update(display, output)
        if kind == "update_display_data":
            return
        if self._is_to_be_cleared:
            self._clear()
        there = self._cell.outputs
        is_more = there and kind == "stream" == there[-1].output_type
        if is_more and there[-1].name == output.name:
            there[-1].text += output.text
            return
        if display:
            places = self._displays.setdefault(display, {})
            places.setdefault(self._index, []).append(len(there))
        there.append(output)

    def _update(self, display: str, output: Any) -> None:  # noqa: ANN401
        for index, places in self._displays.get(display, {}).items():
            for place in places:
                shown = self._notebook.cells[index].outputs[place]
                shown["data"], shown["metadata"] = output.data, output.metadata

    def _clear(self) -> None:
        self._cell.outputs = []
        self._is_to_be_cleared = False
        for places in self._displays.values():
            places.pop(self._index, None)

    def _note_widget(self, content: Mapping[str, Any], buffers: Any) -> None:  # noqa: ANN401
        data, name = content.get("data", {}), content["comm_id"]
        if "state" not in data:
            return
        self._widgets.setdefault(name, {}).update(data["state"])
        for path, buffer in zip(data.get("buffer_paths", ()), buffers, strict=False):
            self._buffers.setdefault(name, {})[tuple(path)] = {
                "data": buffer,
                "encoding": "base64",
                "path": path,
            }

    def finish(self) -> None:
        """Write the states of the widgets into the notebook's metadata."""
        if not self._widgets:
            return
        state: dict[str, Any] = {}
        for name, widget in self._widgets.items():
            if "_model_module" not in widget:
                continue
            state[name] = {
                "model_name": widget.get("_model_name"),
                "model_module": widget.get("_model_module"),
                "model_module_version": widget.get("_model_module_version"),
                "state": widget,
            }
            if name in self._buffers:
                state[name]["buffers"] = list(self._buffers[name].values())
        self._notebook.metadata["widgets"] = {
            _WIDGETS: {"state": state, "version_major": 2, "version_minor": 0}
        }


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
