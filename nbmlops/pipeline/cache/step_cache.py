"""Results of steps, kept by what they depend on.

::

    cache/key                what entries are signed with, where no key is given
    cache/entries/ab/<key>   what a step came to, and the digests of its outputs
    cache/blobs/ab/<sha256>  what they hold, each content once
    cache/last/ab/<slot>     the newest key of each step, to say what changed since
    cache/outputs/ab/<path>  what a step has put into an output; see `Outputs`
    cache/digests, packages  remembered for speed
    cache/lock               held while blobs and the entry that names them are written

Every file is written aside and renamed, so any number of processes may share it, and be
killed. What is missing or damaged counts as not there. Entries and blobs
that are not here are looked for in the remote cache of the project, where there is one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from nbmlops._files import write_atomically
from nbmlops.config import Shared
from nbmlops.entities import CacheEntry, Step
from nbmlops.errors import UsageError
from nbmlops.execution.file_hashes import Digests, read_record, sharded, write_record
from nbmlops.pipeline.cache.outputs import Changes, Outputs
from nbmlops.pipeline.cache.remote_cache import RemoteCache
from nbmlops.pipeline.cache.signer import EntryError, Signer, is_entry, read_unverified
from nbmlops.pipeline.spec.globs import DRAFT


class Cache:
    """The results of a project's steps."""

    def __init__(
        self,
        home: Path,
        digests: Digests | None = None,
        *,
        shared: Shared | None = None,
    ) -> None:
        shared = shared or Shared()
        if shared.url and not shared.key:
            raise UsageError(
                "[tool.nbmlops.cache] has a url and no key: who can write there "
                "could give you results.",
                fix="Set NBMLOPS_CACHE_KEY to the same secret for all who share it, "
                "such as what this prints once: openssl rand -hex 32",
            )
        self.home, self._project_home = home / "cache", home
        self._entries = self.home / "entries"
        self.refused: dict[str, str] = {}
        self._digests = digests or Digests(self.home / "digests")
        self._signer = Signer(self.home / "key", shared.key)
        self._remote = RemoteCache(shared.url) if shared.url else None

    def outputs(self, step: Step, folder: Path) -> Outputs:
        """Return the outputs of a step of a pipeline in a folder."""
        return Outputs(
            step,
            folder,
            home=self._project_home,
            digests=self._digests,
            signer=self._signer,
        )

    def find(self, key: str, outputs: Outputs) -> dict[str, Any] | None:
        """Return a result, or None when it is not there or not to be used."""
        path = self.entry_path(key)
        self.refused.pop(key, None)
        with suppress(OSError):
            if (body := self._open(key, path.read_bytes(), outputs)) is not None:
                os.utime(path)  # it was used
                return body
        content = self._remote and self._remote.read(f"entries/{key[:2]}/{key}")
        body = self._open(key, content, outputs) if content else None
        if content and body is not None:
            self.refused.pop(key, None)
            with suppress(OSError):  # it is only for speed
                write_atomically(path, content)
        return body

    def _open(
        self, key: str, content: bytes, outputs: Outputs
    ) -> dict[str, Any] | None:
        try:
            body = self._signer.verify(content)
            if not is_entry(body) or body["key"] != key:
                raise EntryError("is damaged")
            strange = [name for name in body["outputs"] if not outputs.holds(name)]
            if strange:
                raise EntryError(f"has {strange[0]!r}, which is none of its outputs")
        except EntryError as error:
            self.refused[key] = str(error)
            return None
        return body

    def keep(
        self, key: str, body: Mapping[str, Any], outputs: Mapping[str, Path]
    ) -> dict[str, Any]:
        """Keep a result."""
        with self.lock(fcntl.LOCK_SH):
            kept = {name: self._keep_file(path) for name, path in outputs.items()}
            found = {**body, "key": key, "outputs": kept, "made_at": time.time()}
            signed = self._signer.sign(found)
            write_atomically(self.entry_path(key), signed)
        if self._remote is not None:
            for path, each in zip(outputs.values(), kept.values(), strict=True):
                self._remote.put(_blob(each["sha256"]), path)
            self._remote.write(f"entries/{key[:2]}/{key}", signed)
        return self._signer.verify(signed)

    def restore(
        self, entry: Mapping[str, Any], outputs: Outputs
    ) -> tuple[Path, ...] | None:
        """Restore the outputs of a result, as far as they are the step's own."""
        wanted: Mapping[str, Any] = entry["outputs"]
        if None in wanted.values():
            return None  # it could not be written
        todo = outputs.compare(wanted)
        with self.lock(fcntl.LOCK_SH) if todo.write else nullcontext():
            if not all(self._has_blob(kept["sha256"]) for kept in todo.write.values()):
                return None
            outputs.record_restored(wanted)
            for path in todo.stale:
                outputs.remove(path)
            if not all(self._put_back(path, kept) for path, kept in todo.write.items()):
                return None
        for path, mode in todo.modes.items():
            path.chmod(mode)
        return tuple(todo.others)

    def has_all(self, changes: Changes) -> bool:
        """Return whether what is to be written is here, as far as is known."""
        return self._remote is not None or all(
            sharded(self.home / "blobs", kept["sha256"]).is_file()
            for kept in changes.write.values()
        )

    @contextmanager
    def lock(self, kind: int) -> Iterator[None]:
        """Hold off a collector, or hold off all others as one, until the end."""
        self.home.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(fd, kind)
            yield
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)  # also where a fork has the file open
            os.close(fd)

    def read(self, path: Path) -> dict[str, Any] | None:
        """Return what a file of an entry says, its signature unchecked, or None."""
        with suppress(OSError, EntryError):
            body = read_unverified(path.read_bytes())
            return body if is_entry(body) and body["key"] == path.name else None
        return None

    def last(self, slot: str) -> dict[str, Any] | None:
        """Return the newest key of a step and its parts, or None."""
        found = read_record(self._last(slot))
        match found:
            case {"key": str(), "parts": dict() as parts, **rest}:
                took_s = rest.get("duration_s")
                is_number = isinstance(took_s, int | float)
                is_whole = all(isinstance(each, dict) for each in parts.values())
                return found if is_whole and (took_s is None or is_number) else None
        return None

    def set_last(self, slot: str, key: str, parts: object, duration_s: float) -> None:
        """Remember the newest key of a step."""
        record = {"key": key, "parts": parts, "duration_s": duration_s}
        with suppress(OSError):
            write_record(self._last(slot), record)

    def list_entries(self) -> Iterator[CacheEntry]:
        """Yield the results that are whole, signatures unchecked, in no order."""
        for path in (self.home / "entries").glob("??/*"):
            with suppress(OSError):
                at = path.stat()
                body = self.read(path)
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
        return sharded(self._entries, key)

    def _last(self, slot: str) -> Path:
        return sharded(self.home / "last", sha256(slot.encode()).hexdigest())

    def _keep_file(self, path: Path) -> dict[str, Any]:
        digest = self._digests.sha256(path)
        blob = sharded(self.home / "blobs", digest)
        at = path.lstat()
        kept = {"sha256": digest, "size": at.st_size, "mode": at.st_mode & 0o777}
        with suppress(OSError):
            os.utime(blob)  # it is in use
            if blob.stat().st_size == at.st_size:
                return kept
        readable = at.st_mode & 0o666 | 0o600
        if not _copy(path, blob, _aside(blob), expected=digest, mode=readable):
            raise OSError(f"{path} changed while it was kept")
        return kept

    def _has_blob(self, digest: str) -> bool:
        """Return whether a file is here, now."""
        blob = sharded(self.home / "blobs", digest)
        if blob.is_file() or self._remote is None:
            return blob.is_file()
        draft = _aside(blob)
        draft.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not self._remote.fetch(_blob(digest), draft):
                return False
            if _copy(draft, blob, _aside(blob), expected=digest, mode=0o600):
                return True
        finally:
            draft.unlink(missing_ok=True)
        self._remote.remove(_blob(digest))
        return False

    def _put_back(self, path: Path, kept: Mapping[str, Any]) -> bool:
        blob = sharded(self.home / "blobs", kept["sha256"])
        try:
            name = sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()
            draft = path.with_name(f"{DRAFT}{name[:16]}")  # one that was killed goes
            if _copy(blob, path, draft, expected=kept["sha256"], mode=kept["mode"]):
                return True
        except FileNotFoundError:
            return False
        blob.unlink(missing_ok=True)  # it is not what it says it is
        return False


def _copy(source: Path, target: Path, draft: Path, *, expected: str, mode: int) -> bool:
    """Copy a file whole, or not at all if it has not the digest that is expected."""
    hashed = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    draft.unlink(missing_ok=True)
    new = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with (
            open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW), "rb") as read,  # noqa: PTH123
            open(os.open(draft, new, 0o600), "wb") as write,  # noqa: PTH123
        ):
            while chunk := read.read(1 << 20):
                hashed.update(chunk)
                write.write(chunk)
        if hashed.hexdigest() != expected:
            return False
        draft.chmod(mode)
        draft.replace(target)
        return True
    finally:
        draft.unlink(missing_ok=True)


def _aside(path: Path) -> Path:
    return path.with_name(f".tmp-{uuid4().hex}")


def _blob(digest: str) -> str:
    return f"blobs/{digest[:2]}/{digest}"
