"""The nouns: frozen dataclasses, no I/O."""

from nbmlops.entities.comparison import (
    CellDifference,
    CodeDifference,
    ComparedRun,
    Comparison,
    DatasetDifference,
    Difference,
    Differences,
    History,
    LoggedDataset,
    MetricDifference,
)
from nbmlops.entities.dataset import DatasetVersion
from nbmlops.entities.endpoint import Endpoint, EndpointState
from nbmlops.entities.model import Column, ModelVersion, RegisteredModel, Signature
from nbmlops.entities.page import Page, to_json
from nbmlops.entities.run import Run, RunStatus, check_key

__all__ = [
    "CellDifference",
    "CodeDifference",
    "Column",
    "ComparedRun",
    "Comparison",
    "DatasetDifference",
    "DatasetVersion",
    "Difference",
    "Differences",
    "Endpoint",
    "EndpointState",
    "History",
    "LoggedDataset",
    "MetricDifference",
    "ModelVersion",
    "Page",
    "RegisteredModel",
    "Run",
    "RunStatus",
    "Signature",
    "check_key",
    "to_json",
]
