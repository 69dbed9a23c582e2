"""What files hold, read again only when they changed."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbmlops._files import write_atomically

_YOUNG_S = 2.0  # a file this young may change again without a new time


def sharded(folder: Path, name: str) -> Path:
    """Return where a file of a hashed name is, among 256 folders."""
    return folder.joinpath(name[:2], name)


def write_record(path: Path, document: object) -> None:
    """Write JSON so that a reader sees all of it or none."""
    write_atomically(path, json.dumps(document).encode())


def read_record(path: Path) -> Any | None:  # noqa: ANN401 - whatever was written
    """Return what a file of JSON holds, or None when it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


class Digests:
    """Digests of files, remembered by their size, times and inode."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[str, str], tuple[list[int], Any]] = {}

    def sha256(self, path: Path) -> str:
        """Return the sha256 of a file's content."""
        return str(self.derived(path, "sha256", _sha256, _is_sha256))

    def derived(
        self,
        path: Path,
        kind: str,
        compute: Callable[[Path], Any],
        is_valid: Callable[[Any], bool],
    ) -> Any:  # noqa: ANN401 - what is computed
        """Return what is computed from a file's content alone."""
        name = str(path)
        stamp = _stamp(path)
        known = self._known.get((name, kind))
        if known is not None and known[0] == stamp:
            return known[1]
        hashed = hashlib.sha256(f"{kind}\0{name}".encode("utf-8", "surrogateescape"))
        record = sharded(self._folder, hashed.hexdigest())
        match read_record(record):
            case {"stamp": [*seen], "value": value} if seen == stamp and is_valid(
                value
            ):
                self._known[name, kind] = (stamp, value)
                return value
        value = compute(path)
        if _stamp(path) == stamp and time.time() - stamp[1] / 1e9 > _YOUNG_S:
            self._known[name, kind] = (stamp, value)
            with suppress(OSError):  # it is only for speed
                write_record(record, {"stamp": stamp, "value": value})
        return value


def _stamp(path: Path) -> list[int]:
    at = path.stat()
    newest = max(at.st_mtime_ns, at.st_ctime_ns)
    return [at.st_size, newest, at.st_mtime_ns, at.st_ino, at.st_dev]


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
