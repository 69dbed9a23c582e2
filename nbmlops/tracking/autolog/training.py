"""Calls of `xgboost.train` and `lightgbm.train`, as the user's code makes them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from nbmlops.tracking.journal.clock import elapsed_ns

LIBRARIES = ("xgboost", "lightgbm")


class Training:
    """One call: its arguments, and what it came to."""

    def __init__(
        self, library: ModuleType, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.library = library.__name__
        self.began_ns = elapsed_ns()
        self.kwargs = dict(kwargs)
        self.history: dict[str, dict[str, Any]] = {}
        self.booster: Any = None
        self.error: BaseException | None = None
        self.seconds = 0.0
        self._began = time.perf_counter()
        params = args[0] if args else kwargs.get("params")
        self.params = dict(params) if isinstance(params, Mapping) else {}
        rounds = args[2] if len(args) > 2 else kwargs.get("num_boost_round")
        if rounds is not None:
            self.params["num_boost_round"] = rounds
        if self.library == "xgboost":
            if kwargs.get("evals") is not None:
                given = kwargs.get("evals_result")
                self.history = given if isinstance(given, dict) else self.history
                self.kwargs["evals_result"] = self.history
        elif kwargs.get("valid_sets") is not None:
            record = library.record_evaluation(self.history)
            self.kwargs["callbacks"] = [*(kwargs.get("callbacks") or ()), record]

    def end(self, booster: Any, error: BaseException | None = None) -> None:  # noqa: ANN401
        """Take note of how the call ended."""
        self.seconds = time.perf_counter() - self._began
        self.booster, self.error = booster, error
