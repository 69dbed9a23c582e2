"""What a run is given: on disk before the call returns, until the store has it.

A part has its whole size from the start and is written through memory: an entry costs
no system call, survives the death of the process, and fits when the disk is full.
Where the project's disk takes no part any more, the next one goes to another disk.
`nbmlops.tracking.spool` tells which files there are, and reads them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nbmlops.store.embedded import make_home
from nbmlops.tracking._part import HEAD, Part
from nbmlops.tracking.disks import make_folder, places
from nbmlops.tracking.spool import Opening, Spool, State

_SMALLEST, _LARGEST = 1 << 16, 1 << 24

_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


class Journal:
    """Writes the journal of a run; any thread may, and so may forked processes.

    Parameters
    ----------
    spool : Spool
        Where it is.
    number : int, default=0
        Number of the first part it makes.
    """

    def __init__(self, spool: Spool, *, number: int = 0) -> None:
        self.spool = spool
        self.in_memory: dict[str, Part] = {}
        self.has_forks = False
        self._number = number
        self._made = 0
        self._fork = ""
        self._lock = threading.Lock()
        self._memory: Any = None
        self._end = self._size = 0
        _journals.add(self)

    @classmethod
    def create(cls, home: Path, opening: Opening) -> Journal:
        """Make a journal, wherever a disk has room for it.

        Raises
        ------
        OSError
            No disk has.
        """
        where = places(home)
        refusal = OSError("no disk")
        with suppress(OSError):
            make_home(home)
        for folder in Spool(opening.key, where).folders:
            try:
                make_folder(folder)
                text = json.dumps(asdict(opening))
                (folder / "run").write_text(text, encoding="utf-8")
                # Whoever sees a state can read it, if this process dies here too.
                (folder / "state.new").write_bytes(State().as_bytes())
                (folder / "state.new").rename(folder / "state")
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                refusal = error
            else:
                return cls(Spool(opening.key, where))
        raise refusal

    def append(self, lines: bytes) -> None:
        """Write whole lines; when this returns they outlive the process.

        Parameters
        ----------
        lines : bytes
            Entries, each ended by a newline and without a NUL.
        """
        with self._lock:
            end = self._end + len(lines)
            if end > self._size:
                self._turn_over(len(lines))
                end = self._end + len(lines)
            self._memory[self._end : end] = lines
            self._end = end

    def add(self, *entry: object) -> None:
        """Write one entry."""
        self.append(json.dumps(entry).encode() + b"\n")

    def keep(self, write: Callable[[Path], object]) -> Path:
        """Return a new folder that ``write`` has filled, on a disk with room for it.

        Raises
        ------
        OSError
            No disk has.
        """
        refusal = OSError("no disk")
        for folder in self.spool.folders:
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
                return kept
        raise refusal

    @property
    def position(self) -> tuple[int, int]:
        """Where the next entry goes: it changes with every entry."""
        return self._number, self._end

    def _turn_over(self, needed: int) -> None:
        usual = min(_SMALLEST << min(self._made, 8), _LARGEST)
        name = f"{self._number:06}{self._fork}.jsonl"
        for folder in self.spool.folders:
            try:
                make_folder(folder)
                part = Part.make(folder / name, max(usual, HEAD + needed))
                break
            except OSError:
                continue
        else:
            part = Part.make(None, max(usual, HEAD + needed))
            self.in_memory[name] = part
        self._number += 1
        self._made += 1
        self._memory, self._size, self._end = part.memory, len(part.memory), HEAD

    def _after_fork(self) -> None:
        """Write parts of its own from now on: the parent writes to the last one."""
        self._fork = f"-{os.getpid()}"
        self._lock = threading.Lock()
        self._end = self._size = 0


def append_to(spool: Spool, *entries: Sequence[object]) -> None:
    """Add entries for an owner that is gone."""
    last = max((int(p.stem.partition("-")[0]) for p in spool.part_paths()), default=0)
    journal = Journal(spool, number=last + 1)
    for entry in entries:
        journal.add(*entry)


def _after_fork() -> None:
    for journal in list(_journals):
        journal._after_fork()


def _note_fork() -> None:
    for journal in list(_journals):
        journal.has_forks = True


os.register_at_fork(after_in_child=_after_fork, after_in_parent=_note_fork)
