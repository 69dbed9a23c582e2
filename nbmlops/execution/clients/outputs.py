"""What a process says, as outputs of the cells of a notebook: nbclient's handling."""

from __future__ import annotations

import json
import logging
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
_log.propagate = False


def storable(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a cell has shown as a notebook may hold it."""
    return {
        kind: value
        if isinstance(value, str) or kind == "application/json" or kind[-5:] == "+json"
        else json.dumps(value)
        for kind, value in data.items()
    }


class CellOutputs(NotebookClient):
    """Fills the cells of a notebook as nbclient does, for a process without sockets."""

    def __init__(self, notebook: Any) -> None:  # noqa: ANN401
        super().__init__(notebook, log=_log)
        self.comm_open_handlers = {}
        self._index = 0

    def begin(self, index: int) -> None:
        """Take what comes from now on for the outputs of a cell."""
        self._index, cell = index, self.nb.cells[index]
        cell.outputs, cell.metadata["execution"] = [], {}
        self.clear_before_next_output = False

    def end(self) -> None:
        """Note when the cell was answered."""
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self.nb.cells[self._index].metadata["execution"]["shell.execute_reply"] = now

    def add(self, document: Mapping[str, Any]) -> None:
        """Add what a process said to the cell's outputs, or change those it has."""
        kind, content = document["type"], document["content"]
        if "data" in content and not kind.startswith("comm_"):
            content["data"] = storable(content["data"])
        message = {
            "msg_type": kind,
            "header": {"msg_type": kind, "date": datetime.now(UTC)},
            "parent_header": {},
            "content": content,
            "buffers": [b64decode(each) for each in document.get("buffers", ())],
        }
        with suppress(CellExecutionComplete):
            self.process_message(message, self.nb.cells[self._index], self._index)

    def output(self, outs: Any, msg: Any, display_id: Any, cell_index: int) -> Any:  # noqa: ANN401
        """Add an output; text goes on where text of the same stream was the last."""
        last: Any = outs[-1] if outs else {}
        content = msg["content"]
        is_more = last.get("output_type") == "stream" == msg["msg_type"]
        if (
            is_more
            and last.name == content["name"]
            and not self.clear_before_next_output
        ):
            last.text += content["text"]
            return last
        return super().output(outs, msg, display_id, cell_index)
