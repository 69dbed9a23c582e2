"""The columns a user asks for, and which params, metrics and tags that means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nbmlops.errors import UsageError

ColumnKind = Literal["attributes", "metrics", "params", "tags"]
ATTRIBUTES = (
    "run",
    "name",
    "status",
    "started",
    "ended",
    "duration",
    "source",
    "experiment",
    "model",
)
_KINDS: tuple[ColumnKind, ...] = ("attributes", "metrics", "params", "tags")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunColumn:
    """One column of a table of runs."""

    kind: ColumnKind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedColumns:
    """Columns by the names a user gave; a bare name may mean several."""

    columns: tuple[RunColumn, ...]

    def names(self, kind: ColumnKind) -> tuple[str, ...]:
        """Return the names asked for of one kind."""
        return tuple(column.name for column in self.columns if column.kind == kind)


def parse_columns(columns: str | Sequence[str] | None) -> AskedColumns | None:
    """Return the columns that names ask for; None, which is all, for None.

    >>> parse_columns("metrics.auc, name").names("metrics")
    ('auc',)
    >>> parse_columns(["C"]).names("tags")
    ('C',)
    """
    if columns is None:
        return None
    given = columns.split(",") if isinstance(columns, str) else columns
    found: dict[RunColumn, None] = {}
    for text in given:
        found |= dict.fromkeys(_meanings(text.strip()))
    return AskedColumns(columns=tuple(found))


def _meanings(text: str) -> tuple[RunColumn, ...]:
    prefix, _, rest = text.partition(".")
    name = rest.strip("`")
    for kind in _KINDS:
        if prefix == kind and name and (kind != "attributes" or name in ATTRIBUTES):
            return (RunColumn(kind=kind, name=name),)
    if text in ATTRIBUTES:
        return (RunColumn(kind="attributes", name=text),)
    if text and not text.startswith("attributes."):
        return tuple(RunColumn(kind=kind, name=text) for kind in _KINDS[1:])
    raise UsageError(
        f"{text!r} is no column.",
        fix="Name metrics, params or tags, separated by commas, or of the attributes "
        f"{', '.join(ATTRIBUTES)}.",
    )
