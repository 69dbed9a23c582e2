"""The journals that are on disk, for whoever sends them.

::

    journal/<key>/run          what the run is; written once
    journal/<key>/state        its id in the store, rewritten in place
    journal/<key>/000000.jsonl a part: how far it was sent, then an entry a line
    journal/<key>/files/       artifacts on their way
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from nbmlops.tracking._part import Part
from nbmlops.tracking.disks import is_ours, places

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

    def as_bytes(self) -> bytes:
        """Return its line, padded so that another one fits in its place."""
        return json.dumps(asdict(self)).ljust(_STATE_BYTES - 1).encode() + b"\n"


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
            file.write(state.as_bytes())

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


def list_journals(home: Path) -> tuple[Spool, ...]:
    """Return the journals of a project that are not yet wholly in the store."""
    keys = {
        folder.name
        for place in places(home)
        if is_ours(place)
        for folder in place.glob("*")
        if (folder / "run").is_file() and (folder / "state").is_file()
    }
    return tuple(Spool(key, places(home)) for key in sorted(keys))


def is_final(part: Path, later: Sequence[Path]) -> bool:
    """Return whether nobody writes to a part any more: its writer began another."""
    writer = part.stem.partition("-")[2]
    return any(path.stem.partition("-")[2] == writer for path in later)


def _has_living_writer(part: Path) -> bool:
    found = re.fullmatch(r"\d+-(\d+)\.jsonl", part.name)
    return found is not None and psutil.pid_exists(int(found[1]))
