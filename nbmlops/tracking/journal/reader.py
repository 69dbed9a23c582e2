"""The journals that are on disk, as those who send them find them.

::

    journal/<key>/run, run.copy    what the run is; written once
    journal/<key>/state            its id in the store, twice; rewritten in place; and
                                   what the run is
    journal/<key>/000000.records   a segment: how far it was sent, entries
    journal/<key>/files/           artifacts on their way
    journal/<key>.damaged/         bytes that were no records any more
    journal/<key>.refused/         what the store will never take

Nothing that is found here is trusted: it has its checksum and its form, is a file and
no link, and is below its journal; else it is damaged and quarantined.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from nbmlops.processes.process_id import SILENT_S, ProcessId, start_of
from nbmlops.store.runs.fields import KEY_FORM
from nbmlops.tracking.journal.dirs import is_ours, journal_dirs, make_folder
from nbmlops.tracking.journal.records import (
    MARK,
    Entry,
    bodies,
    entries_of,
    frame,
    is_entry,
    open_file,
    parsed,
    read_file,
    record_of,
    what_of,
    write_durably,
)
from nbmlops.tracking.journal.segment import Segment

_STATE_BYTES = 256
_SEGMENT = re.compile(r"([0-9]{6,9})(?:-([0-9]{1,9})\.([0-9.]{1,24}))?\.records")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeader:
    """What a run is made from."""

    key: str
    name: str
    experiment: str
    tags: dict[str, str]
    started_at_ms: int
    store: str
    kernel: str
    boot: str

    @classmethod
    def parse(cls, found: object, key: str) -> RunHeader | None:
        """Return what was read, None when that is not what a run is made from."""
        if not isinstance(found, dict) or found.keys() != {f.name for f in fields(cls)}:
            return None
        texts = {k: v for k, v in found.items() if k not in ("tags", "started_at_ms")}
        tags, at = found["tags"], found["started_at_ms"]
        is_whole = (
            all(type(each) is str for each in texts.values())
            and isinstance(tags, dict)
            and all(type(each) is str for each in tags.values())
            and type(at) is int
            and 0 <= at < 2**53
            and found["key"] == key
        )
        return cls(**found) if is_whole else None

    @property
    def owner(self) -> ProcessId | None:
        """The process that records the run."""
        return ProcessId.parse(self.kernel, self.boot)


@dataclass(slots=True, kw_only=True)
class SyncState:
    """What is known of the run in the store."""

    run_id: str | None = None
    tries: int = 0
    last_step: int | None = None
    is_ended: bool = False
    is_reaped: bool = False

    def as_bytes(self) -> bytes:
        """Return it twice, padded so that another one fits in its place."""
        body = json.dumps(asdict(self)).encode()
        return 2 * frame(body.ljust(_STATE_BYTES - len(frame(b""))))

    @classmethod
    def parse(cls, content: bytes) -> SyncState:
        """Return what was read; where nothing is whole, one that asks the store."""
        for at in (0, _STATE_BYTES):
            for body in bodies(content[at : at + _STATE_BYTES]):
                found = parsed(body)
                if isinstance(found, dict) and _is_state(found):
                    return cls(**found)
        return cls(tries=1)  # it may have been made: it is looked for by its key


def _is_state(found: Mapping[str, Any]) -> bool:
    if found.keys() != {field.name for field in fields(SyncState)}:
        return False
    run_id, step = found["run_id"], found["last_step"]
    return (
        (run_id is None or (type(run_id) is str and run_id.isalnum()))
        and type(found["tries"]) is int
        and (step is None or type(step) is int)
        and type(found["is_ended"]) is type(found["is_reaped"]) is bool
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """What of a run's journal could not be sent, and is kept."""

    name: str
    folder: Path
    n_damaged: int = 0
    refused: tuple[str, ...] = ()


class JournalReader:
    """The journal of one run as its sender finds it on disk."""

    def __init__(self, key: str, journal_dirs: tuple[Path, ...]) -> None:
        self.key = key
        self.folders = tuple(place / key for place in journal_dirs)
        home = (f for f in self.folders if (f / "state").exists())
        with_segments = (f for f in self.folders if is_ours(f) and any(_segments_in(f)))
        self.folder = next(home, None) or next(with_segments, self.folders[0])
        self._header: RunHeader | None = None

    def exists(self) -> bool:
        """Return whether there is anything left of it."""
        return (self.folder / "state").exists() or any(self.segment_paths())

    def header(self) -> RunHeader:
        """Return what the run is made from."""
        if self._header is None:
            self._header = self._read_header()
        return self._header

    def _read_header(self) -> RunHeader:
        found: list[object] = []
        for name in ("run", "run.copy", "state"):
            with suppress(OSError):
                content = read_file(self.folder / name, most=1 << 22)
                if content.startswith(b"{"):
                    raise ValueError("it is of an older version of nbmlops")
                found += map(parsed, bodies(content))
        for document in found:
            header = RunHeader.parse(document, self.key)
            if header is not None:
                return header
        for path in self.segment_paths():
            with suppress(OSError), closing(Segment.read(path)) as segment:
                header = RunHeader.parse(segment.header(), self.key)
                if header is not None:
                    return header
        if not self.exists():
            raise FileNotFoundError(self.folder)
        raise ValueError("what tells which run it is of is damaged")

    def state(self) -> SyncState:
        """Return what is known of the run in the store."""
        try:
            return SyncState.parse(
                read_file(self.folder / "state", most=2 * _STATE_BYTES)
            )
        except OSError:
            if not self.exists():
                raise FileNotFoundError(self.folder) from None
            return SyncState(tries=1)

    def set_state(self, state: SyncState) -> None:
        """Rewrite the state in place, which needs no space."""
        fd = open_file(self.folder / "state", os.O_WRONLY)
        try:
            os.pwrite(fd, state.as_bytes(), 0)
        finally:
            os.close(fd)

    def heartbeat(self) -> None:
        """Note that the run's owner lives."""
        with suppress(OSError):
            os.utime(self.folder / "state")

    def last_heartbeat(self) -> float:
        """Return when the owner was last seen alive, in seconds since 1970."""
        try:
            return (self.folder / "state").stat().st_mtime
        except FileNotFoundError:
            if not self.exists():
                raise
            return self.folder.stat().st_mtime

    def is_dead(self, now: float) -> bool:
        """Return whether the run's process is gone; see `ProcessId.is_dead`."""
        owner = self.header().owner
        return owner is not None and owner.is_dead(
            last_heartbeat=self.last_heartbeat(), now=now
        )

    @contextmanager
    def locked(self, wait_s: float = 0.0) -> Iterator[bool]:
        """Hold the journal against other senders; False while another holds it."""
        try:
            fd = self._open_state()
        except FileNotFoundError:  # sent and removed meanwhile
            yield False
            return
        try:
            yield _lock(fd, wait_s) and self.exists()
        finally:
            os.close(fd)

    def _open_state(self) -> int:
        path = self.folder / "state"
        try:
            return open_file(path, os.O_RDWR)
        except FileNotFoundError:
            if not any(self.segment_paths()):
                raise
            return open_file(path, os.O_RDWR | os.O_CREAT)  # it was removed

    def segment_paths(self) -> list[Path]:
        """Return the segments on all disks, in the order they were written."""
        found = [path for f in self.folders if is_ours(f) for path in _segments_in(f)]
        return sorted(found, key=lambda path: path.name)

    def is_growing(
        self, segment: Path, later: Sequence[Path], *, is_alive: bool
    ) -> bool:
        """Return whether a segment may still be written to."""
        if is_final(segment, later):
            return False
        return self._has_living_fork(segment) if _fork_of(segment) else is_alive

    def pending_files(self) -> list[Entry]:
        """Return the files that were to be sent, and were not taken."""
        try:
            content = read_file(self.folder / "pending")
        except OSError:
            return []
        return [entry for entry in entries_of(bodies(content)) if entry is not None]

    def add_pending(self, entry: Entry) -> None:
        """Remember a file that was not taken."""
        self.set_pending([*self.pending_files(), entry])

    def set_pending(self, entries: list[Entry]) -> None:
        """Remember which files were not taken, instead of those before."""
        draft = self.folder / f"pending.{uuid4().hex}"
        write_durably(draft, map(record_of, entries))
        draft.replace(self.folder / "pending")

    def unsent(self) -> Iterator[Entry]:
        """Yield the entries that the store does not have yet."""
        yield from self.pending_files()
        for path in self.segment_paths():
            with suppress(OSError), closing(Segment.read(path)) as segment:
                yield from segment.entries()

    def count_unsent(self) -> int:
        """Return how many entries the store does not have yet."""
        return sum(1 for _ in self.unsent())

    def find_file(self, path: str) -> Path | None:
        """Return a file that an entry names, None where there is none."""
        parts = PurePosixPath(path).parts
        if "/".join(parts) != path or len(parts) < 2 or parts[0] != "files":
            raise ValueError(f"{path[:80]!r} is no file of the journal")
        if any(part in (".", "..") or "\0" in part for part in parts):
            raise ValueError(f"{path[:80]!r} leads out of the journal")
        for folder in self.folders:
            if not is_ours(folder):
                continue
            found = folder
            for part in parts:
                found /= part
                if found.is_symlink():
                    raise ValueError(f"{path[:80]!r} is a link")
            if found.exists():
                _check_plain(found)
                return found
        return None

    def quarantine(self, segment: str, at: int, content: bytes) -> int:
        """Keep bytes that are no records, and return how many records they were."""
        folder = self._quarantine_folder("damaged")
        kept = folder / f"{segment}-{at}"
        kept.unlink(missing_ok=True)  # the same bytes, from a sender that was killed
        write_durably(kept, content)
        return _n_records(content)

    def refuse(self, entry: Entry, reason: str) -> Path:
        """Keep what the store will never take, and return where."""
        folder = self._quarantine_folder("refused")
        if entry[0] in ("file", "model"):
            with suppress(ValueError):
                found = self.find_file(entry[1])
                if found is not None:
                    top = self._top_of(found)
                    shutil.move(top, folder / top.name)
        listed = folder / "entries.jsonl"
        line = json.dumps([*entry, reason]) + "\n"
        fd = open_file(listed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)
        return listed

    def discard(self, found: Path) -> None:
        """Remove a file that the store has, and the folder that was made for it."""
        shutil.rmtree(self._top_of(found), ignore_errors=True)

    def _top_of(self, found: Path) -> Path:
        """Return the folder right in ``files/`` that holds a file."""
        for folder in self.folders:
            with suppress(ValueError):
                return folder / "files" / found.relative_to(folder / "files").parts[0]
        raise ValueError(f"{found} is no file of the journal")

    def _quarantine_folder(self, kind: str) -> Path:
        folder = self.folder.with_name(f"{self.key}.{kind}")
        make_folder(folder)
        name = folder / "name"
        if not name.exists():
            write_durably(name, record_of(self.header().name))
        return folder

    def remove(self) -> None:
        """Delete it, when the store has all of it; a living fork's segment stays."""
        if any(self._has_living_fork(path) for path in self.segment_paths()):
            return
        for folder in (*self.folders[1:], self.folders[0]):
            # A listing sees all of it or nothing.
            gone = folder.with_name(f"{self.key}.{uuid4().hex}.gone")
            with suppress(OSError):
                folder.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)

    def _has_living_fork(self, segment: Path) -> bool:
        fork = _fork_of(segment)
        if fork is None:
            return False
        owner = self.header().owner
        if owner is None or owner.is_here:
            return start_of(fork[0]) == fork[1]
        with suppress(OSError):
            return time.time() - self.last_heartbeat() < SILENT_S
        return False


def list_journals(home: Path) -> tuple[JournalReader, ...]:
    """Return the journals of a project that are not yet wholly in the store."""
    return tuple(reader for reader, reason in _all_journals(home) if not reason)


def list_unreadable(home: Path) -> tuple[tuple[Path, str], ...]:
    """Return the journals whose run is unknown, and why."""
    found = _all_journals(home)
    return tuple((reader.folder, reason) for reader, reason in found if reason)


def list_quarantined(home: Path) -> tuple[Quarantined, ...]:
    """Return what of journals could not be sent, and is kept."""
    found = []
    form = rf"{KEY_FORM}\.(damaged|refused)"
    for folder in _folders_like(journal_dirs(home), form):
        name, refused, n_damaged = "", [], 0
        with suppress(OSError):
            name = str(next(map(parsed, bodies(read_file(folder / "name"))), ""))
        with suppress(OSError):
            text = read_file(folder / "entries.jsonl").decode("utf-8", "replace")
            for line in text.splitlines():
                match parsed(line.encode()):
                    case [*entry, str(reason)] if is_entry(entry):
                        refused.append(f"{what_of(entry)}: {reason}")
        if folder.suffix == ".damaged":
            for kept in folder.iterdir():
                with suppress(OSError):
                    is_kept = kept.name != "name"
                    n_damaged += _n_records(read_file(kept)) if is_kept else 0
        found.append(
            Quarantined(
                name=name, folder=folder, n_damaged=n_damaged, refused=tuple(refused)
            )
        )
    return tuple(found)


def _all_journals(home: Path) -> Iterator[tuple[JournalReader, str]]:
    """Yield the journals of a project, and why the run of one is unknown."""
    where = journal_dirs(home)
    for key in sorted({folder.name for folder in _folders_like(where, KEY_FORM)}):
        reader, reason = JournalReader(key, where), ""
        try:
            if not reader.exists():
                continue
            reader.header()
        except ValueError as error:
            reason = str(error)
        except OSError:  # sent by now
            continue
        yield reader, reason


def _folders_like(where: Sequence[Path], form: str) -> list[Path]:
    found = []
    for place in where:
        if is_ours(place):
            with suppress(OSError):
                names = [n for n in os.listdir(place) if re.fullmatch(form, n)]  # noqa: PTH208 - only names
                found += [place / name for name in sorted(names)]
    return [folder for folder in found if is_ours(folder)]


def _segments_in(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - only names
            if _SEGMENT.fullmatch(name):
                path = folder / name
                with suppress(OSError):
                    if stat.S_ISREG(path.lstat().st_mode):
                        yield path


def is_final(segment: Path, later: Sequence[Path]) -> bool:
    """Return whether a segment is complete: its writer began another."""
    writer = segment.stem.partition("-")[2]
    return any(path.stem.partition("-")[2] == writer for path in later)


def _fork_of(segment: Path) -> tuple[int, str] | None:
    """Return the fork that writes a segment, None for the run's process."""
    found = _SEGMENT.fullmatch(segment.name)
    if found is None or found[2] is None:
        return None
    return int(found[2]), found[3]


def number_of(segment: Path) -> int:
    """Return the number of a segment."""
    found = _SEGMENT.fullmatch(segment.name)
    return 0 if found is None else int(found[1])


def _lock(fd: int, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        else:
            return True


def _n_records(content: bytes) -> int:
    return max(1, content.count(MARK))


def _check_plain(path: Path) -> None:
    """Refuse what is neither file nor folder, or a folder that holds such."""
    for each in (path, *path.rglob("*")):
        mode = each.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ValueError(f"{each.name[:80]!r} in it is neither file nor folder")
