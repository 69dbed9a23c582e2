"""Results of steps, kept by what they depend on.

::

    cache/entries/ab/<key>   what a step came to, and the digests of its outputs
    cache/blobs/ab/<sha256>  what they hold, once whoever shares it
    cache/last/ab/<slot>     the newest key of each step, to say what changed since
    cache/digests, packages  remembered for speed

Every file is written aside and renamed, so any number of processes may share it, and be
killed. What is missing or not what it says it is counts as not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from nbmlops.entities import CacheEntry
from nbmlops.pipeline.digests import (
    Digests,
    files_below,
    read_record,
    sharded,
    write_record,
)

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


class Cache:
    """The results of a project's steps.

    Parameters
    ----------
    home : Path
        The folder of all that nbmlops keeps for the project.
    digests : Digests, optional
        Those of the same project.
    """

    def __init__(self, home: Path, digests: Digests | None = None) -> None:
        self._home = home / "cache"
        self._digests = digests or Digests(self._home / "digests")

    def find(self, key: str) -> dict[str, Any] | None:
        """Return a result, or None when it is not there or not whole.

        Parameters
        ----------
        key : str
            64 hexadecimal digits.

        Returns
        -------
        dict or None
            As `keep` was given it.
        """
        path = self._entry(key)
        body = _whole(path)
        if body is None or body["key"] != key:
            return None
        with suppress(OSError):
            os.utime(path)  # it was used
        return body

    def keep(
        self, key: str, body: Mapping[str, Any], outputs: Mapping[str, Path]
    ) -> dict[str, Any]:
        """Keep a result.

        Parameters
        ----------
        key : str
            64 hexadecimal digits.
        body : Mapping of str to object
            What else to remember.
        outputs : Mapping of str to Path
            Files by the name they are restored under.

        Returns
        -------
        dict
            What is kept, with ``outputs`` as digest and size by name.

        Raises
        ------
        OSError
            It cannot be written; nothing is kept then.
        """
        kept = {name: self._keep_file(path) for name, path in outputs.items()}
        found = {**body, "key": key, "outputs": kept, "made_at": time.time()}
        whole: dict[str, Any] = json.loads(json.dumps(found))
        write_record(self._entry(key), {"body": whole, "sha256": _digest(whole)})
        return whole

    def restore(
        self, entry: Mapping[str, Any], folder: Path, declared: tuple[str, ...]
    ) -> bool:
        """Make the outputs of a result what they were.

        Parameters
        ----------
        entry : Mapping of str to object
            As `find` returned it.
        folder : Path
            What the names are relative to.
        declared : tuple of str
            The outputs as the step declares them: of a folder, files that the result
            does not have are removed.

        Returns
        -------
        bool
            False when a file is gone or is not what it was; the step has to run.

        Raises
        ------
        OSError
            An output cannot be written.
        """
        outputs: Mapping[str, Any] = entry["outputs"]
        missing = []
        for name, kept in outputs.items():
            path = folder / name
            try:
                is_there = (
                    path.stat().st_size == kept["size"]
                    and self._digests.sha256(path) == kept["sha256"]
                )
            except OSError:
                is_there = False
            if not is_there:
                missing.append((path, str(kept["sha256"])))
        if not all(
            sharded(self._home / "blobs", each).is_file() for _, each in missing
        ):
            return False
        if not all(self._put_back(path, digest) for path, digest in missing):
            return False
        known = {folder / name for name in outputs}
        for each in declared:
            if (folder / each).is_dir():
                for path in files_below(folder / each):
                    if path not in known:
                        path.unlink(missing_ok=True)
        return True

    def last(self, slot: str) -> dict[str, Any] | None:
        """Return the newest key of a step and its parts, or None."""
        found = read_record(self._last(slot))
        is_whole = isinstance(found, dict) and {"key", "parts"} <= found.keys()
        return dict(found) if found and is_whole else None

    def set_last(self, slot: str, key: str, parts: object, duration_s: float) -> None:
        """Remember the newest key of a step."""
        record = {"key": key, "parts": parts, "duration_s": duration_s}
        with suppress(OSError):
            write_record(self._last(slot), record)

    def list_entries(self) -> Iterator[CacheEntry]:
        """Yield the results that are whole, in no order."""
        for path in (self._home / "entries").glob("??/*"):
            with suppress(OSError):
                at = path.stat()
                body = _whole(path)
                if body is not None:
                    sizes = [each["size"] for each in body["outputs"].values()]
                    yield CacheEntry(
                        key=body["key"],
                        pipeline=body["pipeline"],
                        step=body["step"],
                        run_id=body["run_id"],
                        made_at=body["made_at"],
                        used_at=at.st_mtime,
                        size_bytes=sum(sizes) + at.st_size,
                    )

    def collect(
        self,
        *,
        max_bytes: int | None = None,
        older_than_s: float | None = None,
        now: float | None = None,
    ) -> Collected:
        """Take out results, those that were not used for longest first.

        Parameters
        ----------
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
        entries = sorted(self.list_entries(), key=lambda each: each.used_at)
        blobs = self._blobs()
        named = {each.key: self._digests_of(each.key) for each in entries}
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
            self._entry(each.key).unlink(missing_ok=True)
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
            sharded(self._home / "blobs", digest).unlink(missing_ok=True)
            freed, n_files = freed + size, n_files + 1
        unreadable = (
            path
            for path in (self._home / "entries").glob("??/*")
            if path.name not in named
        )
        for path in (*unreadable, *self._home.rglob(".tmp-*")):
            with suppress(OSError):
                if now - path.stat().st_mtime > _GRACE_S:
                    path.unlink()
        return Collected(
            n_entries=n_entries,
            n_files=n_files,
            freed_bytes=freed,
            left_bytes=sum(size for size, _ in blobs.values()) - freed,
        )

    def _entry(self, key: str) -> Path:
        return sharded(self._home / "entries", key)

    def _last(self, slot: str) -> Path:
        return sharded(self._home / "last", sha256(slot.encode()).hexdigest())

    def _digests_of(self, key: str) -> set[str]:
        body = _whole(self._entry(key)) or {"outputs": {}}
        return {each["sha256"] for each in body["outputs"].values()}

    def _blobs(self) -> dict[str, tuple[int, float]]:
        found = {}
        for path in (self._home / "blobs").glob("??/*"):
            with suppress(OSError):
                if not path.name.startswith("."):
                    at = path.stat()
                    found[path.name] = (at.st_size, at.st_mtime)
        return found

    def _keep_file(self, path: Path) -> dict[str, Any]:
        digest = self._digests.sha256(path)
        blob = sharded(self._home / "blobs", digest)
        try:
            os.utime(blob)  # nobody collects it from now on
            if blob.stat().st_size == path.stat().st_size:
                return {"sha256": digest, "size": path.stat().st_size}
        except OSError:
            pass
        if _copy(path, blob, expected=digest) != digest:
            raise OSError(f"{path} changed while it was kept")
        return {"sha256": digest, "size": blob.stat().st_size}

    def _put_back(self, path: Path, digest: str) -> bool:
        blob = sharded(self._home / "blobs", digest)
        try:
            if _copy(blob, path, expected=digest) == digest:
                return True
        except FileNotFoundError:
            return False
        blob.unlink(missing_ok=True)  # it is not what it says it is
        return False


def _copy(source: Path, target: Path, *, expected: str) -> str:
    """Copy a file whole or not at all, and return the digest of what was copied."""
    draft = target.with_name(f".tmp-{uuid4().hex}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, draft)
        with draft.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found == expected:
            draft.replace(target)
        return found
    finally:
        draft.unlink(missing_ok=True)


def _whole(path: Path) -> dict[str, Any] | None:
    """Return the body of an entry that is as it was written, or None."""
    record = read_record(path)
    if not isinstance(record, dict) or not isinstance(record.get("body"), dict):
        return None
    body: dict[str, Any] = record["body"]
    return body if record.get("sha256") == _digest(body) else None


def _digest(body: Mapping[str, Any]) -> str:
    return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
