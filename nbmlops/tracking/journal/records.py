"""Records of a journal: each with its length and checksum, so that damage is seen.

A record is an RFC 7464 mark, eight hexadecimal digits of the body's length, eight of
its CRC-32, the body, and a newline. The body is JSON, which never holds the mark or a
NUL: behind any damage the next record is found again.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

MARK = b"\x1e"
OVERHEAD = 18
_DIGITS = frozenset(b"0123456789abcdef")
_LARGEST = 2**63
_ENDS = ("FINISHED", "FAILED", "KILLED")
_DATASET = {"name", "digest", "schema", "profile", "context"}

Entry = list[Any]
"""What a record holds: its kind, and what belongs to it."""

Piece = tuple[int, int, bytes | None]
"""Where a record begins and ends, and its body; None where the bytes are no record."""


def frame(body: bytes) -> bytes:
    """Return a record of JSON without a raw newline."""
    return b"\x1e%016x%b\n" % (len(body) << 32 | crc32(body), body)


def record_of(document: object) -> bytes:
    """Return the record of anything JSON can say."""
    return frame(json.dumps(document).encode())


def scan(data: bytes, *, is_whole: bool) -> list[Piece]:
    """Return the records in some bytes, and the stretches that are none.

    NULs at the end are room for more. What else is behind the last record counts as
    damaged when the bytes are whole; else it is still being written.
    """
    pieces: list[Piece] = []
    at, size = 0, len(data)
    while at < size:
        end = _end_at(data, at)
        if end:
            begin = at + OVERHEAD - 1
            length = int(data[at + 1 : at + 9], 16)
            pieces.append((at, end, data[begin : begin + length]))
            at = end
            continue
        following = data.find(MARK, at + 1)
        while following >= 0 and not _end_at(data, following):
            following = data.find(MARK, following + 1)
        if following < 0:
            rest = len(data[at:].rstrip(b"\0"))
            if rest and is_whole:
                pieces.append((at, at + rest, None))
            break
        pieces.append((at, following, None))
        at = following
    return pieces


def _end_at(data: bytes, at: int) -> int:
    """Return where the record that begins here ends, 0 when none does."""
    digits = data[at + 1 : at + OVERHEAD - 1]
    if data[at : at + 1] != MARK or len(digits) != 16 or not _DIGITS.issuperset(digits):
        return 0
    begin = at + OVERHEAD - 1
    end = begin + int(digits[:8], 16)
    if end > len(data) or data.find(MARK, begin, end) >= 0:
        return 0
    if crc32(data[begin:end]) != int(digits[8:], 16):
        return 0
    return end + (data[end : end + 1] != MARK)  # where the newline was cut out


def is_record_at(data: bytes, at: int) -> bool:
    """Return whether a whole record begins there."""
    return _end_at(data, at) > 0


def bodies(data: bytes) -> list[bytes]:
    """Return what the whole records in some bytes hold."""
    return [body for *_, body in scan(data, is_whole=True) if body is not None]


def first_document(data: bytes) -> object:
    """Return what the first whole record holds; None where there is none."""
    return next((parsed(body) for body in bodies(data)), None)


def parsed(body: bytes) -> object:
    """Return what a body says; None when it is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def entries_of(found: Sequence[bytes]) -> list[Entry | None]:
    """Return the entries that bodies hold, None for each that holds none."""
    try:  # at once: most of the time goes into reading them
        entries = json.loads(b"[" + b",".join(found) + b"]")
    except (ValueError, RecursionError):
        entries = []
    if len(entries) != len(found):
        entries = [parsed(body) for body in found]
    return [entry if is_entry(entry) else None for entry in entries]


def is_entry(entry: object) -> bool:
    """Return whether it has the form of an entry; its writer is not trusted."""
    if not isinstance(entry, list) or not entry or not isinstance(entry[0], str):
        return False
    kind = entry[0]
    if kind == "run":
        return len(entry) == 2
    if tuple(map(type, entry)) != _FORMS.get(kind):
        return False
    if kind == "m":
        at_ms: int = entry[1]
        step: int = entry[4]
        return 0 <= at_ms < _LARGEST and -_LARGEST <= step < _LARGEST
    if kind == "end":
        ended_at_ms: int = entry[2]
        return entry[1] in _ENDS and 0 <= ended_at_ms < _LARGEST
    if kind == "data":
        texts: dict[str, Any] = entry[1]
        return texts.keys() == _DATASET and set(map(type, texts.values())) == {str}
    return True


_FORMS = {
    "m": (str, int, str, float, int),
    "p": (str, str, str),
    "t": (str, str, str),
    "file": (str, str, str),
    "model": (str, str, str, str),
    "data": (str, dict),
    "end": (str, str, int),
}
"""The kinds of entries, and the types of what they hold."""


def what_of(entry: Entry) -> str:
    """Return in a few words what an entry is of."""
    kind, *content = entry
    match kind:
        case "m":
            return f"metric {content[1]!r}"
        case "data":
            return f"dataset {content[0]['name'][:80]!r}"
        case "file":
            name = content[0].rpartition("/")[2]
            path = f"{content[1]}/{name}" if content[1] else name
            return f"artifact {path!r}"
        case "model":
            return f"model {content[1]!r}"
    return f"{'param' if kind == 'p' else 'tag'} {content[0]!r}"


def open_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file; a link, a pipe or a device is refused."""
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{path} is not a file.")
    return fd


def read_file(path: Path, *, most: int = 1 << 26) -> bytes:
    """Return the content of a regular file, at most so many bytes of it."""
    fd = open_file(path)
    try:
        with os.fdopen(os.dup(fd), "rb") as file:
            return file.read(most)
    finally:
        os.close(fd)


def write_durably(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a new file and have the disk keep what it holds."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(content if isinstance(content, bytes) else b"".join(content))
        os.fsync(fd)
    finally:
        os.close(fd)


def flush_to_disk(path: Path) -> None:
    """Have the disk keep what a file holds, or which files a folder holds."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
