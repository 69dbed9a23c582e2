"""Which of the runs that a query finds get a row, and what is behind each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nbmlops.store.runs.protocols import Head, RunQuery, RunReader

_FOLDED_SHOWN = 5


@dataclass(slots=True)
class Folded:
    """How many runs are behind a row, and the first few of them."""

    count: int = 0
    run_ids: list[str] = field(default_factory=list)

    def add(self, head: Head) -> None:
        """Count one more."""
        self.count += 1
        if len(self.run_ids) < _FOLDED_SHOWN:
            self.run_ids.append(head.run_id)


class Rows:
    """The runs of a query one after the other, less those that get no row."""

    def __init__(self, reader: RunReader, query: RunQuery) -> None:
        self.is_done = self.is_cut = False
        self._reader, self._is_folded = reader, query.is_folded
        self._is_newest_first = query.order_by is None
        self._has_parents = (
            query.is_folded and self._is_newest_first and not query.filter
        )
        self._taken: dict[str, Head] = {}
        self._newest: dict[str, str] = {}
        self._parents: dict[str, bool] = {}
        self._attempts: dict[str, Folded] = defaultdict(Folded)
        self._children: dict[str, Folded] = defaultdict(Folded)
        self._marked = self._mark()
        self._next: Head | None = None

    def take(self, size: int) -> tuple[Head, ...]:
        """Return the next rows, fewer at the end or when too many were passed over."""
        heads: list[Head] = [self._next] if self._next else []
        self._next, self.is_cut = None, False
        passed = 0
        for head, has_row in self._marked:
            passed += not has_row
            if has_row and len(heads) == size:
                self._next = head
                break
            if has_row:
                heads.append(head)
            elif passed >= self._reader.scan_limit:
                self.is_cut = len(heads) < size
                break
        else:
            self.is_done = True
        if self._is_folded:
            self._taken |= {head.run_id: head for head in heads}
        return tuple(heads)

    def behind(
        self, run_ids: Sequence[str]
    ) -> Mapping[str, tuple[Folded, Folded, int]]:
        """Return attempts, children and the attempt's number of rows that have any."""
        heads = [self._taken[run_id] for run_id in run_ids]
        self._look_up([
            head.group
            for head in heads
            if head.group and self._attempts[head.group].count < head.attempt - 1
        ])  # fmt: skip
        found = {
            head.run_id: (
                self._attempts[head.group] if head.group else Folded(),
                self._children.get(head.run_id, Folded()),
                head.attempt,
            )
            for head in heads
        }
        return {
            run_id: (attempts, children, attempt)
            for run_id, (attempts, children, attempt) in found.items()
            if attempts.count or children.count
        }

    def _mark(self) -> Iterator[tuple[Head, bool]]:
        """Yield each run once, and whether it gets a row."""
        seen: set[str] = set()
        for chunk in self._reader.heads():
            if self._has_parents:
                parents = {head.parent_run_id or "" for head in chunk} - {""}
                unknown = sorted(parents - set(self._parents))
                alive = self._reader.living(unknown)
                self._parents |= {each: each in alive for each in unknown}
            if self._is_folded and not self._is_newest_first:
                groups = {head.group or "" for head in chunk} - {""}
                self._look_up(sorted(groups - set(self._newest)))
            for head in chunk:
                if head.run_id not in seen:
                    seen.add(head.run_id)
                    yield head, self._has_row(head)

    def _has_row(self, head: Head) -> bool:
        if not self._is_folded:
            return True
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
            if not heads:
                continue
            newest = self._newest.setdefault(group, heads[0].run_id)
            folded = self._attempts[group] = Folded()
            for head in heads:
                if head.run_id != newest:
                    folded.add(head)
