"""Results of steps, kept by what they depend on.

::

    cache/entries/ab/<key>   what a step came to, and the digests of its outputs
    cache/blobs/ab/<sha256>  what they hold, once whoever shares it
    cache/last/ab/<slot>     the newest key of each step, to say what changed since
    cache/digests, packages  remembered for speed

Every file is written aside and renamed, so any number of processes may share it, and be
killed. What is missing or not what it says it is counts as not there. Entries and blobs
that are not here are looked for in the depot of the project, where there is one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from nbmlops.entities import CacheEntry
from nbmlops.pipeline.depot import Depot
from nbmlops.pipeline.digests import (
    Digests,
    files_below,
    read_record,
    sharded,
    write_record,
)


class Cache:
    """The results of a project's steps.

    Parameters
    ----------
    home : Path
        The folder of all that nbmlops keeps for the project.
    digests : Digests, optional
        Those of the same project.
    depot : str, optional
        URL of where results are kept for others, too; see `Depot`.

    Attributes
    ----------
    home : Path
        Where the results are.
    """

    def __init__(
        self, home: Path, digests: Digests | None = None, *, depot: str | None = None
    ) -> None:
        self.home = home / "cache"
        self._digests = digests or Digests(self.home / "digests")
        self._depot = Depot(depot) if depot else None

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
        path = self.entry_path(key)
        body = read_whole(path)
        if body is None or body["key"] != key:
            return self._find_in_depot(key)
        with suppress(OSError):
            os.utime(path)  # it was used
        return body

    def _find_in_depot(self, key: str) -> dict[str, Any] | None:
        content = self._depot and self._depot.read(f"entries/{key[:2]}/{key}")
        body = whole(content) if content else None
        if body is None or body["key"] != key:
            return None
        with suppress(OSError):  # it is only for speed
            write_record(self.entry_path(key), _sealed(body))
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
        body = json.loads(json.dumps(found))
        write_record(self.entry_path(key), _sealed(body))
        if self._depot is not None:
            for path, each in zip(outputs.values(), kept.values(), strict=True):
                self._depot.put(_blob(each["sha256"]), path)
            content = json.dumps(_sealed(body)).encode()
            self._depot.write(f"entries/{key[:2]}/{key}", content)
        return dict(body)

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
            if kept is None:
                return False  # it could not be written
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
        if not all(self._has_blob(each) for _, each in missing):
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
        for path in (self.home / "entries").glob("??/*"):
            with suppress(OSError):
                at = path.stat()
                body = read_whole(path)
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

    def entry_path(self, key: str) -> Path:
        """Return where a result is, if it is kept."""
        return sharded(self.home / "entries", key)

    def _last(self, slot: str) -> Path:
        return sharded(self.home / "last", sha256(slot.encode()).hexdigest())

    def _keep_file(self, path: Path) -> dict[str, Any]:
        digest = self._digests.sha256(path)
        blob = sharded(self.home / "blobs", digest)
        try:
            os.utime(blob)  # nobody collects it from now on
            if blob.stat().st_size == path.stat().st_size:
                return {"sha256": digest, "size": path.stat().st_size}
        except OSError:
            pass
        if _copy(path, blob, expected=digest) != digest:
            raise OSError(f"{path} changed while it was kept")
        return {"sha256": digest, "size": blob.stat().st_size}

    def _has_blob(self, digest: str) -> bool:
        """Return whether a file is here, now."""
        blob = sharded(self.home / "blobs", digest)
        if blob.is_file() or self._depot is None:
            return blob.is_file()
        draft = blob.with_name(f".tmp-{uuid4().hex}")
        draft.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not self._depot.fetch(_blob(digest), draft):
                return False
            if _copy(draft, blob, expected=digest) == digest:
                return True
        finally:
            draft.unlink(missing_ok=True)
        self._depot.remove(_blob(digest))
        return False

    def _put_back(self, path: Path, digest: str) -> bool:
        blob = sharded(self.home / "blobs", digest)
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


def read_whole(path: Path) -> dict[str, Any] | None:
    """Return the body of an entry that is as it was written, or None."""
    try:
        return whole(path.read_bytes())
    except OSError:
        return None


def whole(content: bytes) -> dict[str, Any] | None:
    """Return the body of an entry that was read, when it is as it was written."""
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("body"), dict):
        return None
    body: dict[str, Any] = record["body"]
    return body if record.get("sha256") == _digest(body) else None


def _sealed(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"body": body, "sha256": _digest(body)}


def _digest(body: Mapping[str, Any]) -> str:
    return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _blob(digest: str) -> str:
    return f"blobs/{digest[:2]}/{digest}"
