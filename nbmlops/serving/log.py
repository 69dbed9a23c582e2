"""What an endpoint writes to its log, with no secret in it."""

from __future__ import annotations

import io
import logging
import logging.handlers
import sys
from pathlib import Path
from typing import TextIO

from nbmlops._masking import mask


def keep_log(path: Path) -> None:
    """Have this process log to a file, and mask that and all that it prints."""
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=1_000_000, backupCount=1
    )
    handler.setFormatter(_Masking("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # The process that started it points these to the same file.
    sys.stdout, sys.stderr = _Lines(sys.stdout), _Lines(sys.stderr)


class _Masking(logging.Formatter):
    """Masks a whole record: its message, its arguments, its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class _Lines(io.TextIOBase):
    """Passes on whole lines, masked; a secret may come in pieces."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
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
