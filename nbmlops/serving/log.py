"""What an endpoint writes to its log, with no secret in it."""

from __future__ import annotations

import io
import logging
import logging.handlers
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from nbmlops._masking import mask


def keep_log(path: Path) -> None:
    """Have this process log to a file, and mask that and all that it prints."""
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=1_000_000, backupCount=1
    )
    handler.setFormatter(_Masking("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    sys.stdout, sys.stderr = _Lines(_first(sys.stdout)), _Lines(_first(sys.stderr))


def redirect(path: Path) -> None:
    """Have what is written below Python in a file, too."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for fd in (1, 2):
        os.dup2(file, fd)
    os.close(file)


def leave_log() -> None:
    """Close what a fork has of its parent's log."""
    for handler in tuple(logging.root.handlers):
        logging.root.removeHandler(handler)
        with suppress(OSError):  # what a full disk did not take is the parent's
            handler.close()


def _first(stream: TextIO) -> TextIO:
    return stream.inner if isinstance(stream, _Lines) else stream


class _Masking(logging.Formatter):
    """Masks a whole record: its message, its arguments, its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class _Lines(io.TextIOBase):
    """Passes on whole lines, masked; a secret may come in pieces."""

    def __init__(self, stream: TextIO) -> None:
        self.inner = self._stream = stream
        self._begun = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        whole, end, self._begun = (self._begun + text).rpartition("\n")
        if end:
            self._stream.write(mask(whole) + end)
            self._stream.flush()
        return len(text)

    def close(self) -> None:
        if self._begun:
            self.write("\n")
        super().close()
