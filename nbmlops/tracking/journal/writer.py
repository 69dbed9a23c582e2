"""What a run is given: on disk before the call returns, until the store has it.

A segment has its whole size from the start and is written through memory: an entry
costs no system call, survives the death of the process, and fits on a full disk.
Where the project's disk takes no segment any more, the next one goes to another disk.
`nbmlops.tracking.journal.reader` tells which files there are, and reads them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from nbmlops.entities import RunStatus
from nbmlops.processes.process_id import start_of
from nbmlops.store.embedded import make_home
from nbmlops.tracking.journal.dirs import OWN, journal_dirs, make_folder
from nbmlops.tracking.journal.reader import (
    JournalReader,
    RunHeader,
    SyncState,
    number_of,
)
from nbmlops.tracking.journal.records import flush_to_disk, record_of
from nbmlops.tracking.journal.segment import HEAD, Segment

_SMALLEST, _LARGEST = 1 << 16, 1 << 24

_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def prepare(home: Path) -> None:
    """Make the folders of a project's journals, where its disk has room for them."""
    with suppress(OSError):
        make_home(home)
        for name in (OWN, "journal"):
            make_folder(home / name)


class Journal:
    """Writes the journal of a run; any thread may, and so may forked processes."""

    def __init__(self, reader: JournalReader, *, number: int = 0) -> None:
        self.reader = reader
        self.in_memory: dict[str, Segment] = {}
        self.has_forks = self.is_ended = False
        self._number = number
        self._made = 0
        self._fork = ""
        self._lock = threading.Lock()
        self._segment: Segment | None = None
        self._name = ""
        self._memory: Any = None
        self._end = self._size = 0
        _journals.add(self)

    @classmethod
    def create(cls, home: Path, header: RunHeader) -> Journal:
        """Make a journal, wherever a disk has room for it."""
        refusal = OSError("no disk")
        prepare(home)
        where = journal_dirs(home)
        for folder in JournalReader(header.key, where).folders:
            try:
                _make(folder, header, SyncState())
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                refusal = error
            else:
                return cls(JournalReader(header.key, where))
        raise refusal

    def append(self, records: bytes) -> None:
        """Write whole records; when this returns they outlive the process."""
        with self._lock:
            end = self._end + len(records)
            if end > self._size:
                self._turn_over(len(records))
                end = self._end + len(records)
            self._memory[self._end : end] = records
            self._end = end

    def add(self, *entry: object) -> None:
        """Write one entry."""
        self.append(record_of(entry))

    def end(self, status: RunStatus, at_ms: int) -> None:
        """Write the run's end, behind which nothing comes."""
        self.add("end", status, at_ms)
        self.is_ended = True

    def keep(self, write: Callable[[Path], object]) -> PurePosixPath:
        """Return a new folder that ``write`` has filled, on a disk with room for it."""
        refusal = OSError("no disk")
        for folder in self.reader.folders:
            try:
                make_folder(folder / "files")
                kept = Path(tempfile.mkdtemp(dir=folder / "files"))
            except OSError as error:
                refusal = error
                continue
            try:
                write(kept)
            except BaseException as error:
                shutil.rmtree(kept, ignore_errors=True)
                if not isinstance(error, OSError):
                    raise
                refusal = error
            else:
                return PurePosixPath("files", kept.name)
        raise refusal

    @property
    def position(self) -> tuple[int, int]:
        """Where the next entry goes: it changes with every entry."""
        return self._number, self._end

    def written(self, name: str) -> int | None:
        """Return how far this process has written a segment it writes to."""
        with self._lock:
            return self._end if name == self._name else None

    def renew(self, state: SyncState) -> None:
        """Begin again where the journal was removed, with what is in memory."""
        header = self.reader.header()
        with self._lock:
            _make(self.reader.folder, header, state)
            lost, end = self._segment, self._end
            if lost is None or self._name in self.in_memory:
                return
            self._name, self._end, self._size = "", 0, 0
        if end > lost.sent:
            self.append(lost.content(lost.sent, end))

    def _turn_over(self, needed: int) -> None:
        usual = min(_SMALLEST << min(self._made, 8), _LARGEST)
        # Each segment names its run, should all else be damaged.
        header = record_of(["run", asdict(self.reader.header())])
        begin = HEAD + len(header)
        while self._is_taken():  # by one that took this process for gone
            self._number += 1
        name = f"{self._number:06}{self._fork}.records"
        for folder in self.reader.folders:
            try:
                make_folder(folder)
                segment = Segment.make(folder / name, max(usual, begin + needed))
                break
            except OSError:
                continue
        else:
            segment = Segment.make(None, max(usual, begin + needed))
            self.in_memory[name] = segment
        segment.memory[HEAD:begin] = header
        segment.mark(begin)
        self._number += 1
        self._made += 1
        self._segment, self._name, self._memory = segment, name, segment.memory
        self._size, self._end = len(segment.memory), begin

    def _is_taken(self) -> bool:
        name = f"{self._number:06}{self._fork}.records"
        return any((folder / name).exists() for folder in self.reader.folders)

    def _after_fork(self) -> None:
        """Write segments of its own from now on: the parent writes to the last one."""
        self._fork = f"-{os.getpid()}.{start_of(os.getpid())}"
        self._lock = threading.Lock()
        self._name = ""
        self._end = self._size = 0


def _make(folder: Path, header: RunHeader, state: SyncState) -> None:
    """Write what is there before the first entry, down to the disk."""
    make_folder(folder)
    head = record_of(asdict(header))
    (folder / "run.copy").write_bytes(head)
    (folder / "run").write_bytes(head)
    # A state that is seen is whole, even if this process dies here.
    (folder / "state.new").write_bytes(state.as_bytes() + head)
    (folder / "state.new").rename(folder / "state")
    for path in (folder / "run", folder, folder.parent):  # one wait for the disk
        flush_to_disk(path)


def append_to(reader: JournalReader, *entries: Sequence[object]) -> None:
    """Add entries for an owner that is gone."""
    last = max(map(number_of, reader.segment_paths()), default=0)
    journal = Journal(reader, number=last + 1)
    for entry in entries:
        journal.add(*entry)


def _after_fork() -> None:
    for journal in list(_journals):
        journal._after_fork()


def _note_fork() -> None:
    for journal in list(_journals):
        journal.has_forks = True


os.register_at_fork(after_in_child=_after_fork, after_in_parent=_note_fork)
