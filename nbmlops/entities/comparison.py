"""What differs between runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from nbmlops.entities.metric import Metric, Mode
from nbmlops.entities.model import Column

CellChange = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """One of the runs that are compared."""

    run_id: str
    name: str
    experiment: str
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A named text that is not the same in every run."""

    name: str
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Named texts of runs, apart by whether they differ."""

    items: tuple[Difference, ...]
    equal: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricHistory:
    """The values one metric took in one run."""

    last: Metric
    last_step: int
    best: Metric | None
    best_step: int | None
    points: tuple[tuple[int, Metric], ...]
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDifference:
    """A metric that did not go alike in every run."""

    name: str
    mode: Mode | None
    histories: tuple[MetricHistory | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellDifference:
    """A cell that is not the same in two runs."""

    change: CellChange
    positions: tuple[int | None, int | None]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeDifference:
    """How the code of a run differs from that of the first one."""

    run_id: str
    cells: tuple[CellDifference, ...] = ()
    n_equal: int = 0
    note: str = ""
    is_equal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDataset:
    """Data as a run recorded it, by whatever library."""

    name: str
    digest: str
    context: str = ""
    n_rows: int | None = None
    n_columns: int | None = None
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetDifference:
    """A dataset that is not the same in every run."""

    name: str
    versions: tuple[LoggedDataset | None, ...]
    columns: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What differs between two or more runs, and what does not."""

    runs: tuple[ComparedRun, ...]
    facts: Differences
    metrics: tuple[MetricDifference, ...]
    equal_metrics: Mapping[str, float]
    params: Differences
    other_params: Differences
    code: tuple[CodeDifference, ...]
    datasets: tuple[DatasetDifference, ...]
    equal_datasets: tuple[LoggedDataset, ...]
    packages: Differences
    cost: Differences
    notes: tuple[str, ...]
