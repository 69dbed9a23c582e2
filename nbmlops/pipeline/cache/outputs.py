"""The files that a step makes: where they are, and which of them are the step's own.

What a step has put into its outputs is recorded with a digest of each file. Only that
is overwritten or taken away when a kept result is put back; all else is the user's.
Links are never followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock

from nbmlops._files import write_atomically
from nbmlops.entities import Step
from nbmlops.errors import ConflictError
from nbmlops.execution.file_hashes import Digests, sharded
from nbmlops.pipeline.cache.signer import EntryError, Signer
from nbmlops.pipeline.spec.globs import DRAFT, TOOL_FOLDERS

Stamp = tuple[int, int, int]
"""Time, inode and size: another one when a file was written."""
Known = dict[Path, list[str]]
_MAX_NAMES = 5
_MAX_DIGESTS = 50
"""So many results of a step are known for each of its files."""


@contextmanager
def lock_outputs(
    home: Path,
    folder: Path,
    step: Step,
    names: Iterable[str] = (),
    *,
    timeout_s: float = -1,
) -> Iterator[None]:
    """Keep others from a step's files, and from what else is named, until the end."""
    names = {os.path.normpath(folder / output) for output in step.outputs} | {*names}
    locks = home / "pipelines" / "locks"
    with ExitStack() as held:
        for name in sorted(names):  # in one order, so that none waits for another
            locks.mkdir(parents=True, exist_ok=True)
            digest = sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
            held.enter_context(FileLock(locks / f"{digest[:32]}.lock", timeout_s))
        yield


@dataclass(slots=True)
class Changes:
    """What restoring a cached result takes."""

    write: dict[Path, Mapping[str, Any]] = field(default_factory=dict)
    modes: dict[Path, int] = field(default_factory=dict)
    stale: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


class Outputs:
    """The outputs of one step."""

    def __init__(
        self, step: Step, folder: Path, *, home: Path, digests: Digests, signer: Signer
    ) -> None:
        self._step, self._folder, self._home = step, folder, home
        self._digests, self._signer = digests, signer
        self._declared = {each: self.path(each) for each in step.outputs}

    def path(self, name: str) -> Path:
        """Return where a file is, by its name in a result."""
        return Path(os.path.normpath(self._folder / name))

    def name(self, path: Path) -> str:
        """Return the name of a file in a result."""
        return Path(os.path.relpath(path, self._folder)).as_posix()

    def named(self, paths: Iterable[Path]) -> str:
        """Return some files in words."""
        names = [repr(self.name(path)) for path in sorted(paths)]
        more = len(names) - _MAX_NAMES
        rest = f" and {more} more" if more > 0 else ""
        return ", ".join(names[:_MAX_NAMES]) + rest

    def left_alone(self, others: Collection[Path]) -> tuple[str, ...]:
        """Return a note of what is in the outputs and not the step's, if anything."""
        if not others:
            return ()
        return (f"{self._step.name} leaves alone {self.named(others)}, not made by it",)

    def holds(self, name: str) -> bool:
        """Return whether a name of a result is a file of these outputs."""
        path = self.path(name)
        return self.name(path) == name and any(
            path.is_relative_to(each) for each in self._declared.values()
        )

    def stamps(self, before_s: float | None = None) -> dict[Path, Stamp]:
        """Return what is there, links unfollowed, or what was before a time."""
        return {
            path: (at.st_mtime_ns, at.st_ino, at.st_size)
            for path, at in self._scan(self._declared.values())
            if before_s is None or at.st_mtime < before_s
        }

    def missing(self, before: Mapping[Path, Stamp]) -> list[str]:
        """Return in words which outputs the step has not made since ``before``."""
        found_missing = []
        for output, declared in self._declared.items():
            found = dict(self._scan([declared]))
            if (link := find_link(declared, self._folder)) is not None:
                found_missing.append(
                    f"{output!r} is behind the link {self.name(link)!r}"
                )
            elif not found:
                found_missing.append(f"{output!r} is not there")
            elif all(before.get(path) == _stamp(at) for path, at in found.items()):
                found_missing.append(f"{output!r} was there before and was not written")
        return found_missing

    def record(self, before: Mapping[Path, Stamp]) -> dict[Path, str]:
        """Record what the step has made since ``before``, and return it."""
        known = self._recorded()
        made = {}
        for path, at in self._scan(self._declared.values()):
            if before.get(path) != _stamp(at) or path in known:
                with suppress(FileNotFoundError):
                    found = self._identity(path, at)
                    if before.get(path) != _stamp(at) or found in known[path]:
                        made[path] = found
        self._add(made, known)
        return made

    def others(self, made: Iterable[Path]) -> list[Path]:
        """Return what is in the outputs besides what was made."""
        mine = set(made)
        return [p for p, _ in self._scan(self._declared.values()) if p not in mine]

    def compare(self, wanted: Mapping[str, Mapping[str, Any]]) -> Changes:
        """Return what restoring a result takes."""
        known, found = self._recorded(), Changes()
        there = dict(self._scan(self._declared.values()))
        files = {self.path(name): kept for name, kept in wanted.items()}
        for path, seen in there.items():
            if path not in files:
                is_own = path in known and self._identity(path, seen) in known[path]
                (found.stale if is_own else found.others).append(path)
        in_the_way = set()
        for path, kept in files.items():
            if (at := there.get(path)) is None:
                found.write[path] = kept
                in_the_way |= self._obstacles(path, found.stale, there)
            elif (identity := self._identity(path, at)) != kept["sha256"]:
                found.write[path] = kept
                if identity not in known.get(path, ()):
                    in_the_way.add(path)
            elif stat.S_IMODE(at.st_mode) & 0o777 != kept["mode"]:
                found.modes[path] = kept["mode"]
        if in_the_way:
            name = self._step.name
            raise ConflictError(
                f"{self.named(in_the_way)} {'is' if len(in_the_way) == 1 else 'are'} "
                f"not as step {name!r} made it, and left alone.",
                fix="Move it away to have the kept result back, or force step "
                f"{name!r}.",
            )
        return found

    def record_restored(self, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        """Record that a result is about to be restored."""
        new = {self.path(name): kept["sha256"] for name, kept in wanted.items()}
        self._add(new, self._recorded())

    def remove(self, path: Path) -> None:
        """Take out a file, and the folders that it leaves empty."""
        path.unlink(missing_ok=True)
        declared = set(self._declared.values())
        with suppress(OSError):
            while path not in declared and path.parent not in declared:
                path = path.parent
                path.rmdir()

    def _obstacles(
        self, path: Path, stale: Collection[Path], there: Collection[Path]
    ) -> set[Path]:
        """Return what keeps a file from being written where none is."""
        for each in (*_below(self._folder, path), path):
            if each.is_symlink() or (each.exists() and not each.is_dir()):
                return {each} - {*stale}
        if not path.is_dir():
            return set()
        below = [each for each in there if each.is_relative_to(path)]
        return set() if below and {*below} <= {*stale} else {path}

    def _scan(self, declared: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
        for each in declared:
            if not any(above.is_symlink() for above in _below(self._folder, each)):
                yield from files_at(each)

    def _identity(self, path: Path, at: os.stat_result) -> str:
        if stat.S_ISREG(at.st_mode):
            return self._digests.sha256(path)
        return f"link:{path.readlink()}" if stat.S_ISLNK(at.st_mode) else "other"

    def _record_file(self, declared: Path) -> Path:
        name = os.path.relpath(declared, self._home)
        hashed = sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
        return sharded(self._home / "cache" / "outputs", hashed)

    def _recorded(self) -> Known:
        """Return what the step has put there, of each file the newest first."""
        known: Known = {}
        for declared in self._declared.values():
            try:
                body = self._signer.verify(self._record_file(declared).read_bytes())
            except (OSError, EntryError):
                continue
            known |= {
                Path(os.path.normpath(declared / name)): digests
                for name, digests in body["files"].items()
            }
        return known

    def _add(self, new: Mapping[Path, str], known: Known) -> None:
        """Record what the step has put there, or is to have from now on."""
        files = {path: known[path] for path in known if os.path.lexists(path)}
        for path, digest in new.items():
            old = [each for each in files.get(path, ()) if each != digest]
            files[path] = [digest, *old][:_MAX_DIGESTS]
        if files == known:
            return
        for declared in self._declared.values():
            body = {
                os.path.relpath(path, declared): digests
                for path, digests in files.items()
                if path.is_relative_to(declared)
            }
            record = self._record_file(declared)
            write_atomically(record, self._signer.sign({"files": body}))


def files_at(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield what is at a path, of a folder all below it, links themselves."""
    try:
        at = path.lstat()
        names = sorted(os.listdir(path)) if stat.S_ISDIR(at.st_mode) else []  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(at.st_mode):
        yield path, at
    for name in names:
        if name not in TOOL_FOLDERS and not name.startswith(DRAFT):
            yield from files_at(path / name)


def find_link(path: Path, folder: Path) -> Path | None:
    """Return the first link on the way from a folder to a path, if there is one."""
    ways = (*_below(folder, path), path)
    return next((each for each in ways if each.is_symlink()), None)


def _below(folder: Path, path: Path) -> list[Path]:
    """Return the folders that hold a path and do not hold another folder."""
    return [each for each in reversed(path.parents) if not folder.is_relative_to(each)]


def _stamp(at: os.stat_result) -> Stamp:
    return at.st_mtime_ns, at.st_ino, at.st_size
