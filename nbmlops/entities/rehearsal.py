"""What a model version does with the requests that an endpoint has answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalSlice:
    """Rows with values in common of which many more changed, or failed, than of others.

    Attributes
    ----------
    name : str
        Such as ``home = 'rent' and income > 52``.
    columns : tuple of str
        The one or two columns whose values the rows have in common.
    what : str
        ``changed`` when predictions did, ``failed`` when the version raised.
    n_rows : int
        How many distinct rows of input are in it.
    share, share_elsewhere : float
        The share of them that changed or failed, and of the rows in no slice.
    p_value : float
        How likely so large a difference is by chance in any of the slices that were
        looked at.
    shift : float or None
        How much higher its predictions are now, on average; None for classes.
    """

    name: str
    columns: tuple[str, ...]
    what: Literal["changed", "failed"]
    n_rows: int
    share: float
    share_elsewhere: float
    p_value: float
    shift: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """How many rows got one class before and get another now."""

    before: Any
    after: Any
    n_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How a number that is predicted differs from what it was.

    Attributes
    ----------
    mean : float
        Of the differences, after minus before.
    quantiles : tuple of float
        Of the differences: 0.01, 0.1, 0.5, 0.9, 0.99.
    mean_before, mean_after : float
        Of the predictions.
    large : float
        From which difference on, up or down, a row counts as changed.
    """

    mean: float
    quantiles: tuple[float, ...]
    mean_before: float
    mean_after: float
    large: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """An error that a version raised for rows that were answered before."""

    message: str
    n_rows: int
    request_id: str
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A model version on the requests that an endpoint has answered.

    Attributes
    ----------
    first_at, last_at : datetime
        When the first and the last of the requests came; UTC.
    served : tuple of int
        The versions that answered them.
    kind : str
        ``classes`` or ``numbers``: what is predicted.
    n_different : int
        Rows whose prediction differs at all.
    n_changed : int
        Rows whose class differs, or whose number differs by a large amount.
    flips : tuple of Flip
        The most frequent ones, for classes.
    shift : Shift or None
        For numbers.
    errors : tuple of RowError
        The most frequent first.
    us_per_row, us_single : float
        Microseconds that ``predict`` takes for a row in batches, and for a single row.
    slices : tuple of RehearsalSlice
        The clearest first; none when what changed or failed is spread over all rows.
    n_slices : int
        How many were looked at.
    notes : tuple of str
        What the reader should know, such as rows that were left out.
    """

    model: str
    version: int
    endpoint: str
    first_at: datetime
    last_at: datetime
    served: tuple[int, ...]
    kind: Literal["classes", "numbers"]
    n_requests: int
    n_rows: int
    n_different: int
    n_changed: int
    n_failed: int
    flips: tuple[Flip, ...]
    shift: Shift | None
    errors: tuple[RowError, ...]
    us_per_row: float
    us_single: float
    slices: tuple[RehearsalSlice, ...]
    n_slices: int
    notes: tuple[str, ...] = ()
