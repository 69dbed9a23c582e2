"""Fits of estimators and boosters, and what was measured on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from nbmlops.entities import RunStatus
from nbmlops.tracking.journal.clock import elapsed_ns

LIBRARIES = ("xgboost", "lightgbm")


@dataclass(slots=True, kw_only=True)
class Score:
    """A number that was measured on a fit."""

    metric: str
    variant: str
    dataset: str
    value: float


@dataclass(slots=True, kw_only=True, eq=False)
class Fit:
    """One fit that the user's code asked for."""

    title: str
    is_model: bool
    params: dict[str, str]
    changed: set[str]
    kind: str
    began_ns: int
    reference: Callable[[], Any]
    goes_on_with: str
    seconds: float = 0.0
    status: RunStatus | None = None
    reason: str = ""
    scores: list[Score] = field(default_factory=list)
    table: bytes | None = None
    search: dict[str, float] = field(default_factory=dict)
    is_latest: bool = True

    @property
    def estimator(self) -> Any:  # noqa: ANN401
        """The estimator as this fit left it, or None when it is gone."""
        is_there = self.status == "FINISHED" and self.is_latest
        return self.reference() if is_there else None


class Training:
    """One call of `xgboost.train` or `lightgbm.train`, and what it returned."""

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
