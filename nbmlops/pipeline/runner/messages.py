"""What a worker is told to do, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nbmlops.config import Settings
from nbmlops.entities import Step, StepReport
from nbmlops.pipeline.cache.keys import Parts

WORKER = "nbmlops.lifecycle.pipeline_worker"
ACTIONS = "nbmlops.lifecycle.pipeline_actions"
"""What workers run, as ``python -m`` does, and what tells whether an effect stands:
there the areas meet."""
KEY = "nbmlops.cache_key"
"""Tag of a step's run: the key of its result."""
Failure = Literal["died", "outage", "timeout", "error", "usage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What a notebook tells while it runs, and by which it may be given up."""

    folder: Path
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker is told to do."""

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
    """What became of a task."""

    report: StepReport
    entry: dict[str, Any] | None = None
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
