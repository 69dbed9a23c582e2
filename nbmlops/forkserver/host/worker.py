"""Forks that run a module, as ``python -P -m`` does, and do tasks."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from typing import Any

from . import process
from .preload import Preload
from .threads import n_threads


class WorkerForks:
    """What a server of workers does for its forks; see `NotebookForks`."""

    grace_s = 15.0

    def __init__(self, preload: Preload, module: str) -> None:
        self.load = preload.load
        self._preload, self._module = preload, module
        self._is_fit = True

    def prepare(self) -> None:
        """Import the module, and have it make what all its processes need."""
        self.load([self._module], installed_only=False)
        prepare: Callable[[], None] | None
        prepare = getattr(sys.modules.get(self._module), "prepare", None)
        if prepare is not None:
            with self._preload.noting_variables():
                prepare()
        self._is_fit = n_threads() == 1

    def why_not(self, wanted: dict[str, Any]) -> str:
        """Return why this server can have no workers."""
        return "" if self._is_fit else "its imports have started threads"

    def run(self, files: list[int]) -> None:
        """Run the module, in the fork."""

        def body() -> None:
            process.begin(self._preload, files, {"log": 2, "go": 0, "out": 1})
            process.say(1, {"type": "ready"})
            sys.modules.pop(self._module, None)
            runpy.run_module(self._module, run_name="__main__", alter_sys=True)

        process.run(body)
