"""How many threads the BLAS and OpenMP libraries of a run have."""

from __future__ import annotations

import os
import sys
from typing import Any


def n_threads() -> int:
    """Return how many threads this process has."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208


class ThreadLimits:
    """The width that forks inherit, set where no thread is left to have it.

    The libraries are loaded with one thread. When their width is set they start their
    threads, and end them before the process forks; in the fork they start them when
    they are first called.
    """

    def __init__(self) -> None:
        self._controller: Any = None
        self._n_modules = 0
        self._default: dict[str, int] = {}
        self._set: dict[str, int] = {}

    def set(self, *, blas: int, openmp: int | None) -> bool:
        """Set the width of the next fork."""
        if "numpy" not in sys.modules:
            return True
        if self._controller is None or len(sys.modules) != self._n_modules:
            self._find_libraries()
        wanted = {"blas": blas, "openmp": openmp or self._default.get("openmp", 0)}
        wanted = {api: width for api, width in wanted.items() if api in self._default}
        if wanted != self._set:
            self._controller.limit(limits=wanted)
            self._set = wanted
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
        return n_threads() == 1

    def _find_libraries(self) -> None:
        """Find the libraries that are loaded; they are new since the last time."""
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

        self._controller = ThreadpoolController()
        self._n_modules = len(sys.modules)
        self._set = {}
        for library in self._controller.info():
            self._default.setdefault(library["user_api"], library["num_threads"])
