"""Pipelines written for other schedulers: a DAG of Airflow, a workflow of GitHub.

Each step becomes one command line of nbmlops. Nothing here runs a step.
"""

from __future__ import annotations

from nbmlops.pipeline.exports.export import TARGETS, export

__all__ = ["TARGETS", "export"]
