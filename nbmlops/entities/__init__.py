"""The nouns: frozen dataclasses, no I/O.

What functions return and what REST answers. All names here are exported; nothing here
imports from another area.
"""

from nbmlops.entities.audit import (
    AliasHistory,
    AliasPeriod,
    AuditAction,
    AuditEvent,
    AuditFault,
    AuditReport,
)
from nbmlops.entities.autologged import (
    AUTOLOGGED,
    KIND,
    Autologged,
    autologged_tag,
    full_names,
    param_of,
    short_end,
    short_names,
)
from nbmlops.entities.candidates import Candidates
from nbmlops.entities.columns import AskedColumns, ColumnKind, RunColumn, parse_columns
from nbmlops.entities.comparison import (
    CellDifference,
    CodeDifference,
    ComparedRun,
    Comparison,
    DatasetDifference,
    Difference,
    Differences,
    LoggedDataset,
    MetricDifference,
    MetricHistory,
)
from nbmlops.entities.contributions import (
    Contributions,
    Explained,
    ExplainMethod,
    RowContributions,
)
from nbmlops.entities.endpoint import (
    Endpoint,
    EndpointMetrics,
    EndpointRole,
    EndpointState,
    VersionMetrics,
)
from nbmlops.entities.live import CellProgress, LiveRun, LiveState, LiveStep
from nbmlops.entities.metric import Mode, mode_of, parse_best, unknown_mode
from nbmlops.entities.model import (
    Column,
    DatasetInput,
    DatasetVersion,
    ModelVersion,
    RegisteredModel,
    Signature,
)
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
from nbmlops.entities.rehearsal import (
    Flip,
    Rehearsal,
    RehearsalSlice,
    RowError,
    Shift,
)
from nbmlops.entities.replay import (
    Compared,
    Explanation,
    Factor,
    FactorEffect,
    Replay,
    Verdict,
)
from nbmlops.entities.run import FoldedRuns, Run, RunStatus, check_key
from nbmlops.entities.sweep import SweepReport, ranked
from nbmlops.entities.version import (
    ComparedMetric,
    LineageEdge,
    LineageKind,
    LineageNode,
    RecordedReplay,
    ServingEndpoint,
    ServingRole,
    SignatureColumn,
    StoredFile,
    VersionDetail,
)
