"""A run, as MLflow recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

RunStatus = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One recorded execution.

    Attributes
    ----------
    run_id : str
        MLflow's id, 32 hexadecimal digits.
    name : str
        The run's name; may stand for many runs.
    experiment : str
        Name of its experiment.
    status : RunStatus
        ``FAILED`` after an exception, ``KILLED`` after an interrupt or a dead kernel.
    started_at : datetime
        UTC.
    ended_at : datetime or None
        UTC; None while the run is open.
    params : Mapping of str to str
        Params as MLflow keeps them.
    metrics : Mapping of str to float
        The last value of each metric.
    tags : Mapping of str to str
        Tags that are not MLflow's own notes.
    source : str or None
        Notebook or script, relative to the project.
    parent_run_id : str or None
        The run this one is part of.
    model_id : str or None
        The newest model logged by the run.
    """

    run_id: str
    name: str
    experiment: str
    status: RunStatus
    started_at: datetime
    ended_at: datetime | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    source: str | None = None
    parent_run_id: str | None = None
    model_id: str | None = None
