"""The rows of a table of runs, page by page, attempts and children folded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nbmlops.entities import AskedColumns, FoldedRuns, Page, Run
from nbmlops.store.connection import Store
from nbmlops.store.runs.fields import ATTEMPT_OF, Points, RunHeader, RunQuery
from nbmlops.store.runs.queries import RunReader, run_reader

_BLOCK = 2000
_FOLDED_SHOWN = 5


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
        self._rows = _Rows(self._reader, query)
        self._pages: list[Sequence[RunHeader]] = []

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
        ids = {run.run_id for run in runs}
        heads = [head for page in self._pages for head in page if head.run_id in ids]
        behind = self._rows.behind(heads)
        wanted = [
            run_id
            for attempts, children in behind.values()
            for run_id in (*attempts.run_ids, *children.run_ids)
        ]
        read = {run.run_id: run for run in self._reader.runs(wanted, self.columns)}
        return {
            head.run_id: FoldedRuns(
                attempt=head.attempt,
                n_attempts=attempts.count,
                n_children=children.count,
                attempts=tuple(read[i] for i in attempts.run_ids if i in read),
                children=tuple(read[i] for i in children.run_ids if i in read),
            )
            for head, (attempts, children) in behind.items()
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
        rows = _Rows(reader, self.query)
        while limit > 0 and not rows.is_done:
            heads = rows.take(min(limit, _BLOCK))
            yield reader.runs([head.run_id for head in heads], self.columns)
            limit -= len(heads)


@dataclass(slots=True)
class _Folded:
    """How many runs are behind a row, and the first few of them."""

    count: int = 0
    run_ids: list[str] = field(default_factory=list)

    def add(self, head: RunHeader) -> None:
        self.count += 1
        if len(self.run_ids) < _FOLDED_SHOWN:
            self.run_ids.append(head.run_id)


class _Rows:
    """The runs of a query one after the other, less those that get no row."""

    def __init__(self, reader: RunReader, query: RunQuery) -> None:
        self.is_done = self.is_cut = False
        self._reader, self._is_folded = reader, query.is_folded
        self._is_newest_first = query.order_by is None
        self._has_parents = (
            query.is_folded and self._is_newest_first and not query.filter
        )
        self._newest: dict[str, str] = {}
        self._parents: dict[str, bool] = {}
        self._attempts: dict[str, _Folded] = defaultdict(_Folded)
        self._children: dict[str, _Folded] = defaultdict(_Folded)
        self._marked = self._mark()
        self._next: list[RunHeader] = []

    def take(self, size: int) -> Sequence[RunHeader]:
        """Return the next rows, fewer at the end or when too many were passed over."""
        heads, self._next, self.is_cut = self._next, [], False
        n_passed = 0
        for head, has_row in self._marked:
            n_passed += not has_row
            if has_row and len(heads) == size:
                self._next = [head]
                return heads
            if has_row:
                heads.append(head)
            elif n_passed >= self._reader.scan_limit:
                self.is_cut = len(heads) < size
                return heads
        self.is_done = True
        return heads

    def behind(
        self, heads: Sequence[RunHeader]
    ) -> Mapping[RunHeader, tuple[_Folded, _Folded]]:
        """Return the attempts and children of the rows that have any."""
        self._look_up([
            head.group
            for head in heads
            if head.group and self._attempts[head.group].count < head.attempt - 1
        ])  # fmt: skip
        found = {
            head: (
                self._attempts[head.group] if head.group else _Folded(),
                self._children.get(head.run_id, _Folded()),
            )
            for head in heads
        }
        return {head: folded for head, folded in found.items()
                if any(each.count for each in folded)}  # fmt: skip

    def _mark(self) -> Iterator[tuple[RunHeader, bool]]:
        """Yield each run once, and whether it gets a row."""
        seen: set[str] = set()
        for chunk in self._reader.heads():
            if self._has_parents:
                parents = {head.parent_run_id for head in chunk if head.parent_run_id}
                unknown = sorted(parents - set(self._parents))
                alive = self._reader.living(unknown)
                self._parents |= {each: each in alive for each in unknown}
            if self._is_folded and not self._is_newest_first:
                groups = {head.group for head in chunk if head.group}
                self._look_up(sorted(groups - set(self._newest)))
            for head in chunk:
                if head.run_id not in seen:
                    seen.add(head.run_id)
                    yield head, not self._is_folded or self._has_row(head)

    def _has_row(self, head: RunHeader) -> bool:
        if self._has_parents and self._parents.get(head.parent_run_id or ""):
            self._children[head.parent_run_id or ""].add(head)
            return False
        if head.group is None:
            return True
        newest = self._newest.setdefault(head.group, head.run_id)
        if newest != head.run_id and self._is_newest_first:
            self._attempts[head.group].add(head)
        return newest == head.run_id

    def _look_up(self, groups: Sequence[str]) -> None:
        """Ask the store for all attempts of groups."""
        for group, heads in self._reader.attempts(groups).items():
            if heads:
                newest = self._newest.setdefault(group, heads[0].run_id)
                folded = self._attempts[group] = _Folded()
                for head in heads:
                    if head.run_id != newest:
                        folded.add(head)


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


def newest_attempt(store: Store, group: str, *, experiment_id: str) -> Run | None:
    """Return the newest run of a group of attempts, or None."""
    reader = run_reader(store, RunQuery(experiment_ids=(experiment_id,)))
    newest = reader.attempts([group]).get(group, ())[:1]
    return next(iter(reader.runs([head.run_id for head in newest], None)), None)
