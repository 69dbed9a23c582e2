"""A run, as MLflow recorded it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from nbmlops.entities.autologged import NOTHING, Autologged, full_names
from nbmlops.entities.columns import AskedColumns, ColumnKind
from nbmlops.entities.model import DatasetInput
from nbmlops.errors import UsageError

RunStatus = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One recorded execution; times are in UTC.

    Attributes
    ----------
    run_id : str
        MLflow's id, 32 hexadecimal digits.
    status : RunStatus
        ``FAILED`` after an exception, ``KILLED`` after an interrupt or a dead kernel.
    metrics : Mapping of str to float
        The last value of each metric.
    tags : Mapping of str to str
        Tags that are not MLflow's own notes.
    source : str or None
        Notebook or script, relative to the project.
    model_id : str or None
        The newest model logged by the run.
    order_note : str or None
        What a run from the top of its notebook would do otherwise, in one sentence;
        None when nothing, or when that is not known.
    url : str or None
        MLflow's page of it, where a tracking server shows one.
    autologged : Autologged
        Which params and metrics recorded themselves; the user named the others.
    user : str or None
        Who made it.
    datasets : tuple of DatasetInput
        The data it used, by name; empty when only some columns are asked for.
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
    order_note: str | None = None
    url: str | None = None
    autologged: Autologged = NOTHING
    user: str | None = None
    datasets: tuple[DatasetInput, ...] = ()

    def only(self, columns: AskedColumns) -> Run:
        """Return the run with no more metrics, params and tags than asked for."""

        def asked(kind: ColumnKind, values: Mapping[str, Any]) -> dict[str, Any]:
            return {
                name: values[name] for name in columns.names(kind) if name in values
            }

        return replace(
            self,
            metrics=asked("metrics", self.metrics),
            params={
                full: self.params[full]
                for name in columns.names("params")
                for full in full_names(self.params, name)
            },
            tags=asked("tags", self.tags),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedRuns:
    """The runs behind a row of a table: how many, and the newest few, newest first."""

    attempt: int = 1
    n_attempts: int = 0
    n_children: int = 0
    attempts: tuple[Run, ...] = ()
    children: tuple[Run, ...] = ()

    @property
    def summary(self) -> tuple[str, ...]:
        """The counts in words.

        Examples
        --------
        >>> FoldedRuns(attempt=3, n_attempts=2, n_children=1).summary
        ('3 attempts', '1 child run')
        """
        attempts = f"{self.n_attempts + 1} attempts" if self.n_attempts else ""
        children = f"{self.n_children} child run{'s' * (self.n_children > 1)}"
        return tuple(filter(None, (attempts, children if self.n_children else "")))


def check_key(name: str) -> None:
    """Refuse a name that MLflow allows for no param, metric or tag.

    >>> check_key("val/log loss")
    """
    is_plain = re.fullmatch(r"[\w.\- :/]{1,250}", name)
    if not is_plain or posixpath.normpath(name) != name or name[0] in "./":
        raise UsageError(
            f"{name[:80]!r} cannot name a param, metric or tag.",
            fix="Use at most 250 letters, digits, '_', '-', '.', ' ', ':' and, inside, "
            "'/'.",
        )
