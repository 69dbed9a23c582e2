"""Pipelines written for others that run them, a command line a step."""

from __future__ import annotations

from nbmlops.pipeline.exports.export import TARGETS, export

__all__ = ["TARGETS", "export"]
