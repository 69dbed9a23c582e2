"""The rows of a table of runs, page by page, attempts and children folded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nbmlops.entities import AskedColumns, FoldedRuns, Page, Run
from nbmlops.store.connection import Store
from nbmlops.store.runs.fields import ATTEMPT_OF
from nbmlops.store.runs.protocols import Attempt, Head, Points, RunQuery
from nbmlops.store.runs.queries import run_reader
from nbmlops.store.runs.rows import Rows

_BLOCK = 2000


class RunListing:
    """Rows of a table of runs, read when they are asked for.

    Of a group of attempts that the query finds, the newest gets a row. Without a
    filter and an order, child runs are behind their parent; with one, each run that is
    found has a row, so that the best is the best.
    """

    def __init__(
        self,
        store: Store,
        query: RunQuery,
        *,
        size: int,
        columns: AskedColumns | None = None,
    ) -> None:
        self.query, self.columns = query, columns
        self._store, self._size = store, size
        self._reader = run_reader(store, query)
        self._rows = Rows(self._reader, query)
        self._pages: list[tuple[Head, ...]] = []

    def with_query(self, *, size: int, **changes: Any) -> RunListing:
        """Return a listing of the same store and columns."""
        query = replace(self.query, **changes)
        return RunListing(self._store, query, size=size, columns=self.columns)

    def page(self, number: int = 0) -> Page[Run]:
        """Return a page; those before it are walked over when they were not yet."""
        while len(self._pages) <= number and not self._rows.is_done:
            self._pages.append(self._rows.take(self._size))
        heads = self._pages[number] if number < len(self._pages) else ()
        is_last = self._rows.is_done and number + 1 >= len(self._pages)
        return Page(
            items=self._reader.runs([head.run_id for head in heads], self.columns),
            next_page_token=None if is_last else str(number + 1),
        )

    @property
    def is_cut(self) -> bool:
        """Whether the newest page ended before it was full, having read many runs."""
        return self._rows.is_cut

    @property
    def scan_limit(self) -> int:
        """How many runs are read at most to fill a page."""
        return self._reader.scan_limit

    def folded(self, runs: Sequence[Run]) -> Mapping[str, FoldedRuns]:
        """Return what is behind rows of the pages read, by run id."""
        if not self.query.is_folded:
            return {}
        behind = self._rows.behind([run.run_id for run in runs])
        wanted = [
            run_id
            for attempts, children, _ in behind.values()
            for run_id in (*attempts.run_ids, *children.run_ids)
        ]
        read = {run.run_id: run for run in self._reader.runs(wanted, self.columns)}
        return {
            run_id: FoldedRuns(
                attempt=attempt,
                n_attempts=attempts.count,
                n_children=children.count,
                attempts=tuple(read[i] for i in attempts.run_ids if i in read),
                children=tuple(read[i] for i in children.run_ids if i in read),
            )
            for run_id, (attempts, children, attempt) in behind.items()
        }

    def curves(
        self, runs: Sequence[Run], metrics: Sequence[str], *, n_points: int
    ) -> Mapping[tuple[str, str], Points]:
        """Return the histories of metrics that have steps, thinned."""
        ids = [run.run_id for run in runs]
        return self._reader.curves(ids, metrics, n_points=n_points)

    def names(self, run: Run) -> tuple[str, ...]:
        """Return the names of all metrics, params and tags of a run."""
        return tuple(
            name
            for whole in self._reader.runs([run.run_id], None)
            for name in (*whole.metrics, *whole.params, *whole.tags)
        )

    def blocks(self, limit: int) -> Iterator[tuple[Run, ...]]:
        """Yield the first ``limit`` rows, some thousand at a time, keeping none."""
        reader = run_reader(self._store, self.query)
        rows = Rows(reader, self.query)
        while limit > 0 and not rows.is_done:
            heads = rows.take(min(limit, _BLOCK))
            yield reader.runs([head.run_id for head in heads], self.columns)
            limit -= len(heads)


def newest_attempts(store: Store, runs: Sequence[Run], query: RunQuery) -> list[Run]:
    """Return the runs less those of which the query finds a newer attempt."""
    groups = {run.tags[ATTEMPT_OF] for run in runs if ATTEMPT_OF in run.tags}
    attempts = run_reader(store, query).attempts(sorted(groups)) if groups else {}
    newest = {group: heads[0].run_id for group, heads in attempts.items() if heads}
    return [
        run
        for run in runs
        if newest.get(run.tags.get(ATTEMPT_OF, ""), run.run_id) == run.run_id
    ]


def newest_attempt(store: Store, group: str, *, experiment_id: str) -> Attempt | None:
    """Return the newest run of a group of attempts, or None."""
    return run_reader(store, RunQuery(experiment_ids=(experiment_id,))).newest(group)
