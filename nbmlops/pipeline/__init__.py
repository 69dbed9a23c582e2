"""Notebooks as steps: their parameters, and one tracked execution of one."""

from nbmlops.pipeline.step import StepResult, run_notebook

__all__ = ["StepResult", "run_notebook"]
