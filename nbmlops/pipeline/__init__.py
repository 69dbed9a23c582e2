"""Notebooks as steps: their parameters, and one tracked execution of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbmlops.pipeline.step import StepResult, run_notebook

__all__ = ["StepResult", "run_notebook"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nbmlops.pipeline import step  # papermill loads this package to find an engine

    return getattr(step, name)
