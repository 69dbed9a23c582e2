"""``nm.Pipeline``: pipelines whose steps may register and deploy."""

from __future__ import annotations

from typing import ClassVar

from nbmlops.lifecycle import pipeline_actions
from nbmlops.pipeline import pipeline
from nbmlops.pipeline.runner.step_runs import Actions


class Pipeline(pipeline.Pipeline):  # noqa: D101 - what it inherits says it
    __doc__ = pipeline.Pipeline.__doc__
    actions: ClassVar[Actions | None] = pipeline_actions
