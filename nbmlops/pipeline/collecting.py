"""Results of steps that are taken out of the cache."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from nbmlops.pipeline.cache import Cache, read_whole
from nbmlops.pipeline.digests import sharded

_GRACE_S = 3600.0
"""A draft or a blob nobody names is left alone so long: its entry may be on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What was taken out of the cache.

    Attributes
    ----------
    n_entries, n_files : int
        Results, and files that no result names any more.
    freed_bytes : int
        Of these files.
    left_bytes : int
        Of those that stay.
    """

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
    """Take out results, those that were not used for longest first.

    Parameters
    ----------
    cache : Cache
        Of a project; others may use it meanwhile.
    max_bytes : int, optional
        Bytes of outputs that may stay.
    older_than_s : float, optional
        Seconds since the last use after which one goes.
    now : float, optional
        Seconds since 1970; the time now by default.

    Returns
    -------
    Collected
        What went.
    """
    now = time.time() if now is None else now
    entries = sorted(cache.list_entries(), key=lambda each: each.used_at)
    blobs = _blobs(cache)
    named = {each.key: _digests_of(cache, each.key) for each in entries}
    counts: dict[str, int] = {}
    for digests in named.values():
        for digest in digests:
            counts[digest] = counts.get(digest, 0) + 1
    total = sum(blobs.get(digest, (0, 0.0))[0] for digest in counts)
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
                total -= blobs.get(digest, (0, 0.0))[0]
    in_use = {digest for digest, count in counts.items() if count}
    freed = n_files = 0
    taken = {d for digests in named.values() for d in digests} - in_use
    for digest, (size, used_at) in blobs.items():
        if digest in in_use or (digest not in taken and now - used_at < _GRACE_S):
            continue
        sharded(cache.home / "blobs", digest).unlink(missing_ok=True)
        freed, n_files = freed + size, n_files + 1
    unreadable = (
        path for path in (cache.home / "entries").glob("??/*") if path.name not in named
    )
    for path in (*unreadable, *cache.home.rglob(".tmp-*")):
        with suppress(OSError):
            if now - path.stat().st_mtime > _GRACE_S:
                path.unlink()
    return Collected(
        n_entries=n_entries,
        n_files=n_files,
        freed_bytes=freed,
        left_bytes=sum(size for size, _ in blobs.values()) - freed,
    )


def _digests_of(cache: Cache, key: str) -> set[str]:
    body = read_whole(cache.entry_path(key)) or {"outputs": {}}
    return {each["sha256"] for each in body["outputs"].values()}


def _blobs(cache: Cache) -> dict[str, tuple[int, float]]:
    found = {}
    for path in (cache.home / "blobs").glob("??/*"):
        with suppress(OSError):
            if not path.name.startswith("."):
                at = path.stat()
                found[path.name] = (at.st_size, at.st_mtime)
    return found
