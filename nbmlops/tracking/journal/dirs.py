"""The disks that a project's journals may be on."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from nbmlops.tracking.journal.records import open_file, read_file

OWN = "tracking"
"""The folder below ``.nbmlops`` of what all runs of a project share."""


def journal_dirs(home: Path) -> tuple[Path, ...]:
    """Return where journals of a project may be, the usual place first."""
    elsewhere = f"nbmlops-{os.getuid()}/{_project_id(home)}"
    others = [Path(tempfile.gettempdir()), Path("/dev/shm")]  # noqa: S108 - 0o700 below
    return (home / "journal", *(place / elsewhere for place in others))


def _project_id(home: Path) -> str:
    path = home / OWN / "project"
    for _ in range(2):
        with suppress(OSError):
            text = read_file(path, most=64).decode("ascii", "replace")
            if re.fullmatch(r"[0-9a-f]{16}", text):
                return text
        with suppress(OSError):
            _write_whole(path, uuid4().hex[:16].encode())
    # Where nothing can be written; such a project is not renamed either.
    return sha256(os.fsencode(home.resolve())).hexdigest()[:16]


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, or is damaged; the first writer wins."""
    draft = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        fd = open_file(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            os.write(fd, content)
        finally:
            os.close(fd)
        try:
            os.link(draft, path)
        except FileExistsError:
            if path.stat().st_size != len(content):
                draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder that only this user enters; one of another user is refused."""
    for each in (*reversed(folder.parents), folder):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
    if not (is_ours(folder) and is_ours(folder.parent)):
        raise PermissionError(f"{folder} belongs to another user")


def is_ours(folder: Path) -> bool:
    """Return whether it is a folder of this user."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
