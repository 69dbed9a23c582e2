"""A run, as MLflow recorded it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from nbmlops.errors import UsageError

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


def check_key(name: str) -> None:
    """Refuse a name that MLflow takes for no param, metric or tag.

    Parameters
    ----------
    name : str
        The name.

    Raises
    ------
    UsageError
        It says what a name may hold.

    Examples
    --------
    >>> check_key("val/log loss")
    """
    is_plain = re.fullmatch(r"[\w.\- :/]{1,250}", name)
    if not is_plain or posixpath.normpath(name) != name or name[0] in "./":
        raise UsageError(
            f"{name[:80]!r} cannot name a param, metric or tag.",
            fix="Use at most 250 letters, digits, '_', '-', '.', ' ', ':' and, inside, "
            "'/'.",
        )
