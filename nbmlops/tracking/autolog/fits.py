"""Fits of estimators and boosters, and what was measured on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbmlops.entities import RunStatus
from nbmlops.tracking.autolog.param_repr import (
    changed_params,
    kind_of,
    params_of,
    title_of,
)
from nbmlops.tracking.journal.clock import elapsed_ns


@dataclass(slots=True, kw_only=True)
class Score:
    """A number that was measured on a fit."""

    metric: str
    variant: str = ""
    dataset: str = ""
    value: float


@dataclass(slots=True, kw_only=True, eq=False)
class Fit:
    """One fit that the user's code asked for."""

    title: str
    kind: str
    params: dict[str, str]
    changed: set[str]
    is_model: bool = True
    began_ns: int = field(default_factory=elapsed_ns)
    reference: Callable[[], Any] = lambda: None
    goes_on_with: str = ""
    seconds: float = 0.0
    status: RunStatus | None = None
    reason: str = ""
    scores: list[Score] = field(default_factory=list)
    table: bytes | None = None
    search: dict[str, float] = field(default_factory=dict)
    is_latest: bool = True

    @classmethod
    def of(cls, estimator: Any, **known: Any) -> Fit:  # noqa: ANN401
        """Return a fit of an estimator, with its params."""
        return cls(
            title=title_of(estimator),
            kind=kind_of(estimator),
            params=params_of(estimator),
            changed=set(changed_params(estimator)),
            **known,
        )

    @property
    def estimator(self) -> Any:  # noqa: ANN401
        """The estimator as this fit left it, or None when it is gone."""
        is_there = self.status == "FINISHED" and self.is_latest
        return self.reference() if is_there else None
