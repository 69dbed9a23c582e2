"""Notebooks as steps: their parameters, tracked executions, and pipelines of them.

A plan of a pipeline needs no kernel and no store, so the names below are imported from
their places when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbmlops.pipeline.cache import Cache
    from nbmlops.pipeline.pipeline import Pipeline
    from nbmlops.pipeline.result import StepResult
    from nbmlops.pipeline.step import run_notebook
    from nbmlops.pipeline.sweeps.sweeping import sweep
    from nbmlops.pipeline.values import emit

_HOME_OF = {
    "Cache": "cache",
    "Pipeline": "pipeline",
    "StepResult": "result",
    "emit": "values",
    "run_notebook": "step",
    "sweep": "sweeps.sweeping",
}

__all__ = ["Cache", "Pipeline", "StepResult", "emit", "run_notebook", "sweep"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name not in _HOME_OF:
        raise AttributeError(f"module 'nbmlops.pipeline' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
