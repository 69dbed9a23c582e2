"""A model version with all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from nbmlops.entities.metric import Mode
from nbmlops.entities.model import Column, ModelVersion
from nbmlops.entities.replay import Verdict
from nbmlops.entities.run import Run

ServingRole = Literal["champion", "canary", "shadow", "previous"]
LineageKind = Literal["data", "notebook", "run", "version", "endpoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureColumn(Column):
    """A column that a model takes, and what training saw in it.

    Attributes
    ----------
    low, high : float or None
        The least and the largest number; None where no range is recorded.
    categories : tuple of str
        The values of a categorical column.
    """

    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedMetric:
    """A metric of a version, held against the champion's.

    Attributes
    ----------
    mode : Mode or None
        Whether a large or a small value is better; None when the name does not tell.
    change : float or None
        How much larger it is than the champion's; None when one is missing or not
        finite.
    is_better : bool or None
        Than the champion's; None when that is not known, or both are equal.
    steps : tuple of int
        Those of its curve; empty when it was logged without steps.
    values : tuple of float or None
        One a step; None where it is not finite.
    """

    name: str
    mode: Mode | None
    change: float | None
    is_better: bool | None
    steps: tuple[int, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingEndpoint:
    """An endpoint that has the version, and what for."""

    name: str
    role: ServingRole
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedReplay:
    """What came of the last replay of a run."""

    verdict: Verdict
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file, by its path below the folder it belongs to."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageNode:
    """One thing that a version comes from or goes to.

    Attributes
    ----------
    name : str
        What it is found by: an endpoint's or a dataset's name, a run's id, a path.
    """

    id: str
    kind: LineageKind
    name: str
    title: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageEdge:
    """The second comes from the first."""

    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDetail:
    """A model version with all that is known of it.

    Attributes
    ----------
    version, champion : ModelVersion
        The champion is None when there is none, or when this is it.
    commit : str or None
        The git commit that was checked out.
    notebook : str or None
        The file, where it still is: an absolute path; in REST relative to the root of
        the Jupyter server.
    cells : tuple of int
        Execution counts of the cells that made it.
    has_notebook : bool
        Whether the notebook was kept as it was.
    example : Mapping or None
        ``columns`` and ``data`` of the rows that were stored with the model.
    files, figures : tuple of StoredFile
        Of the model; the images among the artifacts of the run.
    notes : tuple of str
        What could not be read, and why.
    """

    version: ModelVersion
    champion: ModelVersion | None
    run: Run | None
    commit: str | None
    notebook: str | None
    cells: tuple[int, ...]
    has_notebook: bool
    replay: RecordedReplay | None
    endpoints: tuple[ServingEndpoint, ...]
    columns: tuple[SignatureColumn, ...]
    outputs: tuple[Column, ...]
    example: dict[str, Any] | None
    metrics: tuple[ComparedMetric, ...]
    files: tuple[StoredFile, ...]
    figures: tuple[StoredFile, ...]
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]
    notes: tuple[str, ...]
