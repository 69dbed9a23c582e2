"""Runs for a table: what is asked, and the two ways of reading it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nbmlops.entities import AskedColumns, Page, Run
from nbmlops.store.runs.fields import ATTEMPT, ATTEMPT_OF, PARENT

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs, in which order."""

    experiment_ids: tuple[str, ...]
    filter: str = ""
    order_by: str | None = None
    is_folded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
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


class RunReader(Protocol):
    """Reads the runs of one query, and of each no more than is asked."""

    scan_limit: int

    def heads(self) -> Iterator[Sequence[Head]]:
        """Yield the runs in order, a chunk at a time."""

    def page(self, limit: int, token: str | None) -> Page[Run]:
        """Return a page of all that the query finds, with all of each run."""

    def runs(
        self, run_ids: Sequence[str], columns: AskedColumns | None
    ) -> tuple[Run, ...]:
        """Return runs in the order given, holding the asked columns alone."""

    def attempts(self, groups: Sequence[str]) -> Mapping[str, Sequence[Head]]:
        """Return the attempts of groups that the query finds, newest first."""

    def living(self, run_ids: Sequence[str]) -> frozenset[str]:
        """Return which runs are in the query's experiments and not deleted."""

    def curves(
        self, run_ids: Sequence[str], metrics: Sequence[str], *, n_points: int
    ) -> Mapping[tuple[str, str], Points]:
        """Return steps and values of metrics that have steps, evenly thinned."""


def head_of(run_id: str, started_ms: int, tags: Mapping[str, str]) -> Head:
    """Return the head of a run with these tags."""
    attempt = tags.get(ATTEMPT, "")
    return Head(
        run_id=run_id,
        started_ms=started_ms,
        group=tags.get(ATTEMPT_OF),
        attempt=int(attempt) if attempt.isascii() and attempt.isdigit() else 1,
        parent_run_id=tags.get(PARENT),
    )
