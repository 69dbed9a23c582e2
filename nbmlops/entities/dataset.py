"""A dataset version: data named by its content."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """Data as a run saw it.

    Attributes
    ----------
    name : str
        The name it was logged under.
    digest : str
        Content hash over every value, name and type, 32 hexadecimal digits.
    n_rows : int
        Number of rows, at least 0.
    n_columns : int
        Number of columns, at least 0.
    """

    name: str
    digest: str
    n_rows: int
    n_columns: int
