"""Which runs are read, their tags by name, and their values as MLflow records them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

SOURCE = "mlflow.source.name"
PARENT = "mlflow.parentRunId"
ENDED_BECAUSE = "nbmlops.ended_because"
KEY = "nbmlops.key"
FILES_DIGEST = "nbmlops.files"
KEY_FORM = r"k[0-9a-f]{31}"
KERNEL_ID = "nbmlops.kernel_id"
ATTEMPT_OF = "nbmlops.attempt_of"
ATTEMPT = "nbmlops.attempt"
REPLAY_OF = "nbmlops.replay_of"
"""Tag of the runs of a replay: the run that was replayed."""
LARGEST = 1.7976931348623157e308  # what SQL stores keep for an infinity
_HIDDEN = ("mlflow.log-model.", "mlflow.user", "mlflow.runName", SOURCE, PARENT)


Points = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs, in which order."""

    experiment_ids: tuple[str, ...]
    filter: str = ""
    order_by: str | None = None
    is_folded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeader:
    """What must be known of a run to say whether it gets a row of its own."""

    run_id: str
    started_ms: int
    group: str | None = None
    attempt: int = 1
    parent_run_id: str | None = None

    @property
    def age(self) -> tuple[int, int, str]:
        """What sorts attempts, the newest last."""
        return self.attempt, self.started_ms, self.run_id


def header_of(run_id: str, started_ms: int, tags: Mapping[str, str]) -> RunHeader:
    """Return the head of a run with these tags."""
    attempt = tags.get(ATTEMPT, "")
    return RunHeader(
        run_id=run_id,
        started_ms=started_ms,
        group=tags.get(ATTEMPT_OF),
        attempt=int(attempt) if attempt.isascii() and attempt.isdigit() else 1,
        parent_run_id=tags.get(PARENT),
    )


def ended_at(status: str, ended_ms: int | None) -> datetime | None:
    """Return when a run ended; one that was reopened keeps its former end in MLflow."""
    return None if not ended_ms or status == "RUNNING" else to_utc(ended_ms)


def to_utc(milliseconds: int) -> datetime:
    """Return MLflow's milliseconds since 1970 as a time.

    >>> to_utc(0).isoformat()
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def shown_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that are not MLflow's own notes."""
    return {key: text for key, text in tags.items() if not key.startswith(_HIDDEN)}


def as_logged(value: float) -> float:
    """Return a metric's value with the infinities that a SQL store cannot keep.

    >>> as_logged(-1.7976931348623157e308), as_logged(0.5)
    (-inf, 0.5)
    """
    return math.copysign(math.inf, value) if abs(value) >= LARGEST else value


def as_number(value: float | None) -> float:
    """Return a metric's value of a table, where NULL is selected for NaN."""
    return math.nan if value is None else as_logged(value)
