"""The output file of a step: refused early or written whole."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from pathlib import Path
from uuid import uuid4

from nbmlops.errors import NbmlopsError, StoreError, UsageError


def check_output(output: str | Path, source: Path) -> Path:
    """Return where the executed notebook will be written, known to be writable."""
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(output), re.IGNORECASE):
        raise UsageError(f"Output {str(output)!r} is a URL.", fix="Name a local file.")
    target = Path(output).resolve()
    if target == source.resolve() or (target.exists() and target.samefile(source)):
        raise UsageError(
            f"Output {str(output)!r} is the notebook itself, which is never written.",
            fix="Name another file.",
        )
    if target.is_dir():
        raise UsageError(
            f"Output {str(output)!r} is a folder.", fix="Name a file in it."
        )
    content = source.read_bytes()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_draft(target, content).unlink()
    except OSError as error:
        raise _refused(error, target, len(content)) from error
    return target


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is seen either as it was or as it is to be."""
    try:
        write_draft(path, content).replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _refused(error, path, len(content)) from error


def rescue(name: str, content: bytes) -> Path | None:
    """Write a file where there is still room, when it could not be kept elsewhere."""
    try:
        path = Path(tempfile.mkdtemp(prefix="nbmlops-"), name)
        write_whole(path, content)
    except (OSError, NbmlopsError):
        return None
    return path


def write_draft(path: Path, content: bytes, *, is_durable: bool = True) -> Path:
    """Write content next to the file that it is to replace."""
    draft = path.with_name(f".nbmlops-{uuid4().hex}.tmp")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            if is_durable:
                os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _refused(error: OSError, path: Path, needed: int) -> NbmlopsError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        there = next(folder for folder in path.parents if folder.exists())
        free = shutil.disk_usage(there).free
        return StoreError(
            f"No room for {path}: {needed} bytes are needed, {free} are free.",
            fix="Free some space there, or name another output.",
        )
    return UsageError(
        f"Cannot write {path}: {error.strerror}.",
        fix="Name an output in a folder that can be written.",
    )
