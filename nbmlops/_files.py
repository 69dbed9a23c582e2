"""Files written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file, and the folders above it, so that a reader sees all or none."""
    draft = path.with_name(f".tmp-{uuid4().hex}")
    try:
        try:
            draft.write_bytes(content)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(content)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
