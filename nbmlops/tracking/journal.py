"""What a run is given: on disk before the call returns, until the store has it.

::

    journal/<key>/run          what the run is; written once
    journal/<key>/state        its id in the store, rewritten in place
    journal/<key>/000000.jsonl a part: how far it was sent, then an entry a line
    journal/<key>/files/       artifacts on their way

A part has its whole size from the start and is written through memory: an entry costs
no system call, survives the death of the process, and fits when the disk is full.
Where the project's disk takes no part any more, the next one goes to another disk.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil

from nbmlops.store.embedded import make_home
from nbmlops.tracking._part import HEAD, Part

_SMALLEST, _LARGEST = 1 << 16, 1 << 24
_STATE_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a run is made from.

    Attributes
    ----------
    key : str
        ``k`` and 31 hexadecimal digits, made here: how a run is known before the store
        has answered, and how one whose creation was not confirmed is found again.
    name, experiment : str
        As in MLflow.
    tags : dict of str to str
        The tags it carries from the start.
    started_at_ms : int
        Milliseconds since 1970.
    store : str
        Hash of the URI of the store it is meant for; the URI may hold a password.
    kernel, boot : str
        The process that records it, and the start of the system it is in; see
        `nbmlops.tracking.owner`.
    """

    key: str
    name: str
    experiment: str
    tags: dict[str, str]
    started_at_ms: int
    store: str
    kernel: str
    boot: str


@dataclass(slots=True, kw_only=True)
class State:
    """What is known of the run in the store.

    Attributes
    ----------
    run_id : str or None
        MLflow's id, once the store has answered.
    tries : int
        How often its creation was begun.
    last_step : int or None
        The largest step that was sent.
    is_ended : bool
        Whether its end was sent.
    """

    run_id: str | None = None
    tries: int = 0
    last_step: int | None = None
    is_ended: bool = False


def _as_bytes(state: State) -> bytes:
    return json.dumps(asdict(state)).ljust(_STATE_BYTES - 1).encode() + b"\n"


def places(home: Path) -> tuple[Path, ...]:
    """Return where journals of a project may be, the usual place first."""
    project = sha256(os.fsencode(home.resolve())).hexdigest()[:16]
    elsewhere = f"nbmlops-{os.getuid()}/{project}"
    others = [Path(tempfile.gettempdir()), Path("/dev/shm")]  # noqa: S108 - 0o700 below
    return (home / "journal", *(place / elsewhere for place in others))


def list_journals(home: Path) -> tuple[Spool, ...]:
    """Return the journals of a project that are not yet wholly in the store."""
    keys = {
        folder.name
        for place in places(home)
        if _is_ours(place)
        for folder in place.glob("*")
        if (folder / "run").is_file() and (folder / "state").is_file()
    }
    return tuple(Spool(key, places(home)) for key in sorted(keys))


def _is_ours(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _make_folder(folder: Path) -> None:
    """Make a folder that only this user enters; one of another user is refused."""
    for each in (*reversed(folder.parents), folder):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
    if not (_is_ours(folder) and _is_ours(folder.parent)):
        raise PermissionError(f"{folder} belongs to another user")


class Spool:
    """The journal of one run as found on disk, by whoever sends it.

    Parameters
    ----------
    key : str
        The run's key.
    places : tuple of Path
        Folders that may hold it.
    """

    def __init__(self, key: str, places: tuple[Path, ...]) -> None:
        self.key = key
        self.folders = tuple(place / key for place in places)
        home = (f for f in self.folders if (f / "state").exists())
        self.folder = next(home, self.folders[0])

    def exists(self) -> bool:
        """Return whether there is anything left of it."""
        return (self.folder / "state").exists()

    def opening(self) -> Opening:
        """Return what the run is made from."""
        return Opening(**json.loads((self.folder / "run").read_text("utf-8")))

    def state(self) -> State:
        """Return what is known of the run in the store."""
        return State(**json.loads((self.folder / "state").read_text("utf-8")))

    def set_state(self, state: State) -> None:
        """Rewrite the state in place, which needs no space."""
        with (self.folder / "state").open("r+b") as file:
            file.write(_as_bytes(state))

    def beat(self) -> None:
        """Say that the run's owner lives."""
        with suppress(OSError):
            os.utime(self.folder / "state")

    def heard_at(self) -> float:
        """Return when the owner last said so, in seconds since 1970."""
        return (self.folder / "state").stat().st_mtime

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the journal against other senders; False when another holds it."""
        try:
            fd = os.open(self.folder / "state", os.O_RDWR)
        except FileNotFoundError:  # sent and removed meanwhile
            yield False
            return
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield self.exists()
        finally:
            os.close(fd)

    def part_paths(self) -> list[Path]:
        """Return the parts on all disks, in the order they were written."""
        found = [path for f in self.folders for path in f.glob("[0-9]*.jsonl")]
        return sorted(found, key=lambda path: path.name)

    def append(self, *entries: Sequence[object]) -> None:
        """Add entries for an owner that is gone."""
        last = max(
            (int(p.stem.partition("-")[0]) for p in self.part_paths()), default=0
        )
        journal = Journal(self, number=last + 1)
        for entry in entries:
            journal.add(*entry)

    def owed(self) -> list[list[Any]]:
        """Return the files that were to be sent, and were not taken."""
        path = self.folder / "owed"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    def owe(self, entry: list[Any]) -> None:
        """Remember a file that was not taken."""
        self.set_owed([*self.owed(), entry])

    def set_owed(self, entries: list[list[Any]]) -> None:
        """Remember which files were not taken, instead of those before."""
        draft = self.folder / "owed.new"
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.folder / "owed")

    def unsent(self) -> Iterator[list[Any]]:
        """Yield the entries that the store does not have yet."""
        yield from self.owed()
        for path in self.part_paths():
            with suppress(FileNotFoundError), closing(Part.read(path)) as part:
                for line in part.unsent(len(part.memory)).splitlines():
                    yield json.loads(line)

    def count_unsent(self) -> int:
        """Return how many entries the store does not have yet."""
        return sum(1 for _ in self.unsent())

    def remove(self) -> None:
        """Delete it, when the store has all of it; a living fork's part stays."""
        if not any(_has_living_writer(path) for path in self.part_paths()):
            for folder in (*self.folders[1:], self.folders[0]):
                shutil.rmtree(folder, ignore_errors=True)


def _has_living_writer(part: Path) -> bool:
    found = re.fullmatch(r"\d+-(\d+)\.jsonl", part.name)
    return found is not None and psutil.pid_exists(int(found[1]))


def is_final(part: Path, later: Sequence[Path]) -> bool:
    """Return whether nobody writes to a part any more: its writer began another."""
    writer = part.stem.partition("-")[2]
    return any(path.stem.partition("-")[2] == writer for path in later)


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
                _make_folder(folder)
                text = json.dumps(asdict(opening))
                (folder / "run").write_text(text, encoding="utf-8")
                # Whoever sees a state can read it, if this process dies here too.
                (folder / "state.new").write_bytes(_as_bytes(State()))
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
                _make_folder(folder / "files")
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
                _make_folder(folder)
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


def _after_fork() -> None:
    for journal in list(_journals):
        journal._after_fork()


def _note_fork() -> None:
    for journal in list(_journals):
        journal.has_forks = True


os.register_at_fork(after_in_child=_after_fork, after_in_parent=_note_fork)
