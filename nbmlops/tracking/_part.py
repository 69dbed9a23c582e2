"""A piece of a journal: memory that a file keeps."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

HEAD = 32


class Part:
    """A file, or where no disk takes one some memory, that entries are written to.

    Parameters
    ----------
    memory : mmap
        Its content.
    path : Path or None
        Where it is; None for memory alone.
    """

    def __init__(self, memory: mmap.mmap, path: Path | None) -> None:
        self.memory = memory
        self.path = path

    @classmethod
    def make(cls, path: Path | None, size: int) -> Part:
        """Make a part that surely holds ``size`` bytes."""
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
        part = cls(memory, path)
        part.mark(HEAD)
        return part

    @classmethod
    def read(cls, path: Path) -> Part:
        """Open a part that was made before."""
        with path.open("r+b") as file:
            if os.fstat(file.fileno()).st_size < HEAD:  # its maker was killed meanwhile
                return cls(mmap.mmap(-1, HEAD), path)
            return cls(mmap.mmap(file.fileno(), 0), path)

    @property
    def sent(self) -> int:
        """Bytes of it the store has, its head included."""
        return int(self.memory[: HEAD - 1].strip(b" \0") or HEAD)

    def mark(self, sent: int) -> None:
        """Remember that the store has so many bytes of it."""
        self.memory[:HEAD] = b"%-31d\n" % sent

    def unsent(self, most: int) -> bytes:
        """Return whole lines that were not sent, of ``most`` bytes or one line."""
        sent = self.sent
        end = self.memory.find(b"\0", sent)
        end = len(self.memory) if end < 0 else end
        stop = end
        if end - sent > most:
            stop = self.memory.find(b"\n", sent + most, end) + 1 or end
        return self.memory[sent : self.memory.rfind(b"\n", sent, stop) + 1 or sent]

    def close(self) -> None:
        """Let go of the memory."""
        self.memory.close()


def _allocate(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    elif os.pwrite(fd, bytes(size), 0) < size:
        raise OSError("No space left on device")
