"""Registered models, their versions, and the data they are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from nbmlops.entities.metric import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a signature."""

    name: str
    type: str
    is_required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Input and output schema of a model version."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A name that model versions are registered under.

    Attributes
    ----------
    aliases : Mapping of str to int
        The version of each alias.
    latest_version : int or None
        The highest version number; None when there is no version.
    updated_at : datetime
        UTC.
    tags : Mapping of str to str
        Its tags.
    """

    name: str
    aliases: Mapping[str, int]
    latest_version: int | None
    description: str
    updated_at: datetime
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInput:
    """Data that a run used, named by its content."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One immutable version of a registered model.

    Attributes
    ----------
    aliases : tuple of str
        Aliases of this version, sorted.
    created_at : datetime
        UTC.
    run_id : str or None
        The run that logged it; None when it was registered without one.
    model_id : str or None
        MLflow's id of the logged model.
    metrics, params : Mapping
        Those of the run, last values.
    signature : Signature or None
        None when it was logged without one.
    source : str or None
        The notebook or script that made it, relative to the project.
    order_note : str or None
        What a run from the top of its notebook would do otherwise, in one sentence;
        None when nothing, or when that is not known.
    metric_modes : Mapping of str to str or None
        Whether each metric is to be large (``max``) or small (``min``), going by its
        name; None when that does not tell.
    user : str or None
        Who made the run.
    datasets : tuple of DatasetInput
        The data that the run used, by name.
    verdict : str or None
        What its checks came to; None when they have not run.
    """

    model: str
    version: int
    aliases: tuple[str, ...]
    created_at: datetime
    run_id: str | None
    model_id: str | None
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    signature: Signature | None
    source: str | None
    description: str = ""
    order_note: str | None = None
    metric_modes: Mapping[str, Mode | None]
    user: str | None = None
    datasets: tuple[DatasetInput, ...] = ()
    verdict: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """Data as a run saw it, named by its content."""

    name: str
    digest: str
    n_rows: int
    n_columns: int
