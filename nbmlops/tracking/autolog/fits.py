"""Fits, and what was measured on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbmlops.entities import RunStatus


@dataclass(slots=True, kw_only=True)
class Score:
    """A number that was measured on a fit.

    Attributes
    ----------
    metric : str
        The function, or ``score``.
    variant : str
        The options that make it another one, such as ``macro``.
    dataset : str
        The variable that holds the data, empty when it has none.
    value : float
        The number.
    """

    metric: str
    variant: str
    dataset: str
    value: float


@dataclass(slots=True, kw_only=True, eq=False)
class Fit:
    """One fit that the user's code asked for.

    Attributes
    ----------
    title : str
        The estimator's class.
    is_model : bool
        Whether it can predict.
    params : Mapping of str to str
        As they were when the fit began.
    changed : set of str
        Names of those params that are not the defaults, also of estimators inside it.
    kind : str
        The class that a user would name: of a pipeline its last.
    began_ns : int
        As of `nbmlops.tracking.clock.elapsed_ns`.
    reference : callable
        Gives the estimator, or None when it is gone.
    goes_on_with : str
        The method of which the next call goes on with this fit, or empty.
    seconds : float
        What it took; for ``partial_fit`` all calls in a row together.
    status : RunStatus or None
        How it ended; None while it runs.
    reason : str
        The exception it ended with.
    scores : list of Score
        What was measured on it, in order.
    table : bytes or None
        The results of a search, as CSV.
    search : dict of str to float
        What a search found, such as ``best_cv_score``.
    is_latest : bool
        Whether the estimator has not been fitted again since.
    """

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
