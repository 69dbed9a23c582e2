"""What came of running a run once more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["equal", "within tolerance", "different"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One thing that a run and its replay both have, or only one of them.

    Attributes
    ----------
    original, replayed : float or str or None
        A metric's last value, a digest or a status; None where it is missing.
    verdict : Verdict
        Only metrics can be within a tolerance.
    """

    what: Literal["metric", "dataset", "model", "status"]
    name: str
    original: float | str | None
    replayed: float | str | None
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A run, run again in a clean kernel, and how the two compare.

    Attributes
    ----------
    run_id : str
        The replay's own run, of the kind ``replay``.
    verdict : Verdict
        The worst of all that was compared; ``different`` when nothing could be.
    compared : tuple of Compared
        Metrics, datasets, the model and the status, what differs first.
    notes : tuple of str
        What the reader should know, such as files that have changed since.
    """

    original_run_id: str
    run_id: str
    verdict: Verdict
    compared: tuple[Compared, ...]
    notes: tuple[str, ...] = ()


Factor = Literal["code", "params", "data", "environment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorEffect:
    """What one factor does to a metric."""

    factor: Factor
    differs: bool
    value: float | None = None
    change: float | None = None
    run_id: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a metric differs between two runs.

    Attributes
    ----------
    first, second : float
        Its value in the two runs.
    repeated : float
        Its value in the first run, replayed with nothing swapped.
    effects : tuple of FactorEffect
        One a factor, the largest change first.
    rest : float
        What the single changes do not add up to: factors that act together, what could
        not be swapped, and what no replay repeats.
    factor : Factor or None
        The one whose change is the largest; None when none changed the metric.
    """

    metric: str
    first_run_id: str
    second_run_id: str
    first: float
    second: float
    repeated: float
    effects: tuple[FactorEffect, ...]
    rest: float
    factor: Factor | None
    notes: tuple[str, ...] = ()
