"""What a worker is told to do, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nbmlops.config import Settings
from nbmlops.entities import Step, StepReport
from nbmlops.pipeline.keys import Parts

WORKER = "nbmlops.lifecycle.pipeline_worker"
ACTIONS = "nbmlops.lifecycle.pipeline_actions"
"""What workers run, as ``python -m`` does, and what tells whether an effect stands:
there the areas meet."""
KEY = "nbmlops.cache_key"
"""Tag of a step's run: the key of its result."""
Failure = Literal["died", "outage", "timeout", "error", "usage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What a notebook tells while it runs, and by which it may be given up.

    Attributes
    ----------
    folder : Path
        Its own: ``steps`` is written by the notebook, ``verdict`` by who reads that.
    metric : str
        What it tells of.
    """

    folder: Path
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker is told to do.

    Attributes
    ----------
    settings : Settings
        The project's.
    folder : Path
        The pipeline file's.
    pipeline, slot : str
        Name of the pipeline, and what names the unit among all.
    step : Step
        The step.
    name : str
        The unit's name, and so that of its run.
    params : Mapping of str to object
        What the notebook is given.
    key : str
        Of the result.
    parts : Parts
        What the key is made of.
    upstream : Mapping of str to str
        Key of each step it needs.
    why : str
        Why it runs.
    may_be_cached : bool
        Whether a result that came meanwhile may stand for a run.
    experiment : str
        Of its run.
    context : Mapping of str to str
        Tags of its run, that of its parent among them.
    jobs : int
        Tasks that share the processors with it, itself included.
    source : StepReport or None
        What an action is about.
    watch : Watch or None
        By which it may be given up.
    live : Path or None
        Where the progress of its notebook is told.
    keeps_notebook : bool
        Whether the executed notebook is kept there as it grows.
    """

    settings: Settings
    folder: Path
    pipeline: str
    slot: str
    step: Step
    name: str
    params: Mapping[str, object]
    key: str
    parts: Parts
    upstream: Mapping[str, str]
    why: str
    may_be_cached: bool
    experiment: str
    context: Mapping[str, str]
    jobs: int
    source: StepReport | None = None
    watch: Watch | None = None
    live: Path | None = None
    keeps_notebook: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What became of a task.

    Attributes
    ----------
    report : StepReport
        As far as the worker knows it.
    entry : dict or None
        The result that is kept.
    failure : str or None
        What kind of end it was, when it failed.
    notes : tuple of str
        What the user should know.
    """

    report: StepReport
    entry: dict[str, Any] | None = None
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
