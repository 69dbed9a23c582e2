"""A piece of a journal: a file of records, written through memory."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from nbmlops.tracking.journal.records import (
    Entry,
    Piece,
    bodies,
    entries_of,
    frame,
    is_record_at,
    open_file,
    parsed,
    scan,
)

_SLOT = 32
HEAD = 2 * _SLOT
"""Bytes before the first record: how far it was sent, twice."""

_WINDOW = 400_000
_LARGEST = 1 << 30


class Segment:
    """A file, or where no disk takes one some memory, that records are written to."""

    def __init__(self, memory: mmap.mmap | None, fd: int | None = None) -> None:
        self._memory = memory
        self._fd = fd
        self._is_checked = False

    @classmethod
    def make(cls, path: Path | None, size: int) -> Segment:
        """Make a segment that surely holds ``size`` bytes."""
        if path is None:
            memory = mmap.mmap(-1, size)
        else:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _allocate(fd, size)
                memory = mmap.mmap(fd, size)
            except BaseException:
                path.unlink()
                raise
            finally:
                os.close(fd)
        segment = cls(memory)
        segment.mark(HEAD)
        return segment

    @classmethod
    def read(cls, path: Path) -> Segment:
        """Open a segment that was made before."""
        return cls(None, open_file(path, os.O_RDWR))

    @property
    def memory(self) -> mmap.mmap:
        """Its content, in the process that writes it."""
        assert self._memory is not None  # noqa: S101 - it was not read from a file
        return self._memory

    @property
    def size(self) -> int:
        """Bytes that it has room for, its head included."""
        if self._fd is None:
            return len(self.memory)
        return min(os.fstat(self._fd).st_size, _LARGEST)

    @property
    def sent(self) -> int:
        """Bytes of it the store has, its head included."""
        for at in (0, _SLOT):
            for body in bodies(self._get(at, _SLOT)):
                if body.strip().isdigit() and HEAD <= int(body) <= self.size:
                    return int(body)
        return HEAD

    def mark(self, sent: int) -> None:
        """Remember, twice, that the store has so many bytes of it."""
        self._put(0, 2 * frame(b"%-14d" % sent))

    def unsent(self, *, until: int | None, is_growing: bool) -> list[Piece]:
        """Return the next records that were not sent, and what is damaged."""
        if until is None and not self._is_checked:
            self._check_mark()
        start, window = self.sent, _WINDOW
        end = self.size if until is None else min(until, self.size)
        while start < end:
            stop = min(start + window, end)
            is_last = stop == end
            pieces = scan(
                self._get(start, stop - start), is_whole=is_last and not is_growing
            )
            if pieces or is_last:
                # The newline of a last record may be what was cut off.
                return [(start + a, min(start + b, end), body) for a, b, body in pieces]
            window *= 4
        return []

    def _check_mark(self) -> None:
        """Have all of it sent again where bytes were cut out or put in before."""
        self._is_checked = True
        sent, rest = self.sent, self._get(HEAD, self.size - HEAD)
        # Mostly a record begins there, and no more is to be read.
        if sent > HEAD and not is_record_at(rest, sent - HEAD):
            bounds = {HEAD + end for _, end, _ in scan(rest, is_whole=True)}
            if sent not in bounds:
                self.mark(HEAD)

    def entries(self) -> Iterator[Entry]:
        """Yield the whole entries that were not sent."""
        at, end = self.sent, self.size
        found = scan(self._get(at, end - at), is_whole=False)
        for entry in entries_of([body for *_, body in found if body is not None]):
            if entry is not None and entry[0] != "run":
                yield entry

    def header(self) -> object:
        """Return what the run is made from, as its first record says."""
        for body in bodies(self._get(HEAD, 1 << 16)):
            match parsed(body):
                case ["run", header]:
                    return header
        return None

    def content(self, start: int, end: int) -> bytes:
        """Return bytes of it as they are."""
        return self._get(start, end - start)

    def _get(self, at: int, size: int) -> bytes:
        if self._fd is None:
            return self.memory[at : at + size]
        return os.pread(self._fd, max(size, 0), at)  # it may end before its head

    def _put(self, at: int, content: bytes) -> None:
        if self._fd is None:
            self.memory[at : at + len(content)] = content
        else:
            os.pwrite(self._fd, content, at)

    def close(self) -> None:
        """Let go of it."""
        if self._memory is not None:
            self._memory.close()
        if self._fd is not None:
            os.close(self._fd)


def _allocate(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    elif os.pwrite(fd, bytes(size), 0) < size:
        raise OSError("No space left on device")
