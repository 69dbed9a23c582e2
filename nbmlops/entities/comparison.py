"""What differs between runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from nbmlops.entities.metric import Mode
from nbmlops.entities.model import Column

CellChange = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """One of the runs that are compared.

    Attributes
    ----------
    run_id : str
        MLflow's id, 32 hexadecimal digits.
    name : str
        The run's name; several may share it.
    experiment : str
        Name of its experiment.
    started_at : datetime
        UTC.
    """

    run_id: str
    name: str
    experiment: str
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A named text that is not the same in every run.

    Attributes
    ----------
    name : str
        Such as a param's, a tag's or a package's.
    values : tuple of str or None
        One a run, in the order of the runs; None where a run has none.
    """

    name: str
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Named texts of runs, apart by whether they differ.

    Attributes
    ----------
    items : tuple of Difference
        What differs, by name.
    equal : Mapping of str to str
        What every run has alike.
    """

    items: tuple[Difference, ...]
    equal: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The values one metric took in one run.

    Attributes
    ----------
    last : float
        The value at the highest step.
    last_step : int
        That step.
    best : float or None
        The best finite value; None when there is none, or when the metric's name
        does not tell whether a small or a large one is better.
    best_step : int or None
        The first step that had it.
    points : tuple of (int, float)
        Steps and values in the order of the steps: all of them, or an even choice
        of at most 103 that keeps the first, the last and the best.
    is_whole : bool
        False when there were too many values to read, and ``best`` is only that of
        a choice of them.
    """

    last: float
    last_step: int
    best: float | None
    best_step: int | None
    points: tuple[tuple[int, float], ...]
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDifference:
    """A metric that did not go alike in every run.

    Attributes
    ----------
    name : str
        The metric's name.
    mode : {"max", "min"} or None
        Which value is the best; None when the metric's name does not tell.
    histories : tuple of History or None
        One a run; None where the run has no such metric.
    """

    name: str
    mode: Mode | None
    histories: tuple[History | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellDifference:
    """A cell that is not the same in two runs.

    Attributes
    ----------
    change : CellChange
        Seen from the first run.
    positions : tuple of (int or None, int or None)
        Its place among the code cells of either run, from 1; None where it is not.
    lines : tuple of str
        Lines of the cell, each after a ``+``, a ``-`` or a blank; ``...`` stands for
        equal lines left out.
    """

    change: CellChange
    positions: tuple[int | None, int | None]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeDifference:
    """How the code of a run differs from that of the first one.

    Attributes
    ----------
    run_id : str
        The run that is held against the first.
    cells : tuple of CellDifference
        In the order of the notebooks; empty when the code is the same.
    n_equal : int
        Cells that are the same.
    note : str
        Why the cells could not be held against each other; "" when they were.
    is_equal : bool
        Whether the code is known to be the same.
    """

    run_id: str
    cells: tuple[CellDifference, ...] = ()
    n_equal: int = 0
    note: str = ""
    is_equal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDataset:
    """Data as a run recorded it, by whatever library.

    Attributes
    ----------
    name : str
        Name of the dataset.
    digest : str
        Its content hash, in the form of the library that logged it.
    context : str
        What it was used for, such as ``training``; may be "".
    n_rows : int or None
        None when that was not recorded.
    n_columns : int or None
        None when that was not recorded.
    columns : tuple of Column
        Empty when the schema was not recorded.
    """

    name: str
    digest: str
    context: str = ""
    n_rows: int | None = None
    n_columns: int | None = None
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetDifference:
    """A dataset that is not the same in every run.

    Attributes
    ----------
    name : str
        Name of the dataset.
    versions : tuple of LoggedDataset or None
        One a run; None where a run did not use it.
    columns : tuple of Difference
        The columns whose types differ, of the runs that recorded a schema.
    """

    name: str
    versions: tuple[LoggedDataset | None, ...]
    columns: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What differs between two or more runs, and what does not.

    Attributes
    ----------
    runs : tuple of ComparedRun
        In the order they were named; the first is what the others are held against.
    facts : Differences
        Status, source, commit, description and tags.
    metrics : tuple of MetricDifference
        Metrics that did not go alike, by name.
    equal_metrics : Mapping of str to float
        Last values of those that did.
    params : Differences
        Params: those that the user named, then what autolog recorded and is not the
        estimator's default in each run, under short names.
    other_params : Differences
        The other params that autolog recorded.
    code : tuple of CodeDifference
        One for each run but the first.
    datasets : tuple of DatasetDifference
        Data that differs, by name.
    equal_datasets : tuple of LoggedDataset
        Data that is the same in every run.
    packages : Differences
        Versions of the installed packages.
    cost : Differences
        ``wall_s``, ``cpu_s``, ``peak_rss_bytes`` and what else was measured.
    notes : tuple of str
        What could not be compared, and why.
    """

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
