"""The nouns: frozen dataclasses, no I/O."""

from nbmlops.entities.columns import AskedColumns, Kind, RunColumn, parse_columns
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
from nbmlops.entities.live import CellProgress, LiveRun, LiveState, LiveStep
from nbmlops.entities.metric import Mode, mode_of, parse_best, unknown_mode
from nbmlops.entities.model import Column, ModelVersion, RegisteredModel, Signature
from nbmlops.entities.order import ORDER, ORDER_CELLS, Order
from nbmlops.entities.page import Page, to_json
from nbmlops.entities.pipeline import (
    Action,
    CacheEntry,
    Exported,
    PipelineReport,
    PipelineSpec,
    PlannedStep,
    Select,
    Step,
    StepReport,
    Trigger,
)
from nbmlops.entities.replay import (
    Compared,
    Effect,
    Explanation,
    Factor,
    Replay,
    Verdict,
)
from nbmlops.entities.run import FoldedRuns, Run, RunStatus, check_key
from nbmlops.entities.sweep import SweepReport, ranked

__all__ = [
    "ORDER",
    "ORDER_CELLS",
    "Action",
    "AskedColumns",
    "CacheEntry",
    "CellDifference",
    "CellProgress",
    "CodeDifference",
    "Column",
    "Compared",
    "ComparedRun",
    "Comparison",
    "DatasetDifference",
    "DatasetVersion",
    "Difference",
    "Differences",
    "Effect",
    "Endpoint",
    "EndpointState",
    "Explanation",
    "Exported",
    "Factor",
    "FoldedRuns",
    "History",
    "Kind",
    "LiveRun",
    "LiveState",
    "LiveStep",
    "LoggedDataset",
    "MetricDifference",
    "Mode",
    "ModelVersion",
    "Order",
    "Page",
    "PipelineReport",
    "PipelineSpec",
    "PlannedStep",
    "RegisteredModel",
    "Replay",
    "Run",
    "RunColumn",
    "RunStatus",
    "Select",
    "Signature",
    "Step",
    "StepReport",
    "SweepReport",
    "Trigger",
    "Verdict",
    "check_key",
    "mode_of",
    "parse_best",
    "parse_columns",
    "ranked",
    "to_json",
    "unknown_mode",
]
