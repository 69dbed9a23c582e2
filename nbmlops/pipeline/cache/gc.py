"""Results of steps that are taken out of the cache."""

from __future__ import annotations

import fcntl
import time
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
        return _collect(cache, max_bytes, older_than_s, now)


def _collect(
    cache: Cache, max_bytes: int | None, older_than_s: float | None, now: float
) -> Collected:
    entries = sorted(cache.list_entries(), key=lambda each: each.used_at)
    blobs = _blobs(cache)
    named = {each.key: _digests_of(cache, each.key) for each in entries}
    counts: dict[str, int] = {}
    for digests in named.values():
        for digest in digests:
            counts[digest] = counts.get(digest, 0) + 1
    total = sum(blobs.get(digest, 0) for digest in counts)
    n_entries = 0
    for each in entries:
        is_old = older_than_s is not None and now - each.used_at > older_than_s
        if not is_old and (max_bytes is None or total <= max_bytes):
            continue
        cache.entry_path(each.key).unlink(missing_ok=True)
        n_entries += 1
        for digest in named[each.key]:
            counts[digest] -= 1
            if counts[digest] == 0:
                total -= blobs.get(digest, 0)
    freed = n_files = 0
    for digest, size in blobs.items():
        if not counts.get(digest):
            sharded(cache.home / "blobs", digest).unlink(missing_ok=True)
            freed, n_files = freed + size, n_files + 1
    for path in (cache.home / "entries").glob("??/[!.]*"):
        if path.name not in named:
            path.unlink(missing_ok=True)
            n_entries += 1
    for path in cache.home.rglob(".tmp-*"):
        with suppress(OSError):
            if now - path.stat().st_mtime > _GRACE_S:
                path.unlink()
    return Collected(
        n_entries=n_entries,
        n_files=n_files,
        freed_bytes=freed,
        left_bytes=sum(blobs.values()) - freed,
    )


def _digests_of(cache: Cache, key: str) -> set[str]:
    body = cache.read(cache.entry_path(key)) or {"outputs": {}}
    return {each["sha256"] for each in body["outputs"].values()}


def _blobs(cache: Cache) -> dict[str, int]:
    paths = (cache.home / "blobs").glob("??/[!.]*")
    return {path.name: path.stat().st_size for path in paths}
