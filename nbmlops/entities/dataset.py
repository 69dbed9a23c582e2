"""A dataset version: data named by its content."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """Data as a run saw it."""

    name: str
    digest: str
    n_rows: int
    n_columns: int
