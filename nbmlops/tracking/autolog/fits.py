"""Fits, and what was measured on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbmlops.entities import RunStatus


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
