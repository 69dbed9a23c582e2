"""Runs whose models could be registered, and what one of them would replace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nbmlops.entities.metric import Mode
from nbmlops.entities.model import ModelVersion
from nbmlops.entities.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Runs of a notebook that logged a model, the best first, then the newest.

    Attributes
    ----------
    best : str or None
        Id of the run that is the best by ``metric``; None where no metric says so.
    newest : str or None
        Id of the newest run; None where there is no run.
    metric : str or None
        What the best is the best by.
    modes : Mapping of str to Mode
        Whether a metric is to be small or large, of those where that is known.
    replaced : ModelVersion or None
        The version that the alias names now.
    endpoint : str or None
        The endpoint that serves the model.
    """

    runs: tuple[Run, ...]
    best: str | None
    newest: str | None
    metric: str | None
    modes: Mapping[str, Mode]
    replaced: ModelVersion | None
    endpoint: str | None
