"""Results of steps that are taken out of the cache."""

from __future__ import annotations

import fcntl
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from nbmlops.execution.file_hashes import sharded
from nbmlops.pipeline.cache.step_cache import Cache

_GRACE_S = 3600.0
"""A draft is left alone so long: it may still be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What was taken out of the cache."""

    n_entries: int
    n_files: int
    freed_bytes: int
    left_bytes: int


def collect(
    cache: Cache,
    *,
    max_bytes: int | None = None,
    older_than_s: float | None = None,
    now: float | None = None,
) -> Collected:
    """Take out results, those that were not used for longest first."""
    now = time.time() if now is None else now
    with cache.lock(fcntl.LOCK_EX):
        entries = sorted(cache.list_entries(), key=lambda each: each.used_at)
        sizes = {
            path.name: path.stat().st_size
            for path in (cache.home / "blobs").glob("??/[!.]*")
        }
        named = {each.key: _digests_of(cache, each.key) for each in entries}
        uses = Counter(digest for digests in named.values() for digest in digests)
        total = sum(sizes.get(digest, 0) for digest in uses)
        kept = set(named)
        for each in entries:
            is_old = older_than_s is not None and now - each.used_at > older_than_s
            if is_old or (max_bytes is not None and total > max_bytes):
                kept.discard(each.key)
                uses.subtract(named[each.key])
                last = [digest for digest in named[each.key] if not uses[digest]]
                total -= sum(sizes.get(digest, 0) for digest in last)
        gone = [p for p in cache.home.glob("entries/??/[!.]*") if p.name not in kept]
        unused = [digest for digest in sizes if not uses[digest]]
        for path in (*gone, *(sharded(cache.home / "blobs", each) for each in unused)):
            path.unlink(missing_ok=True)
        for path in cache.home.rglob(".tmp-*"):
            with suppress(OSError):
                if now - path.stat().st_mtime > _GRACE_S:
                    path.unlink()
    freed = sum(sizes[digest] for digest in unused)
    return Collected(
        n_entries=len(gone),
        n_files=len(unused),
        freed_bytes=freed,
        left_bytes=sum(sizes.values()) - freed,
    )


def _digests_of(cache: Cache, key: str) -> set[str]:
    body = cache.read(cache.entry_path(key)) or {"outputs": {}}
    return {each["sha256"] for each in body["outputs"].values()}
