"""What could not be recorded: one line for the user, the trace with the run."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops._masking import mask
from nbmlops.errors import NbmlopsError

if TYPE_CHECKING:
    from nbmlops.tracking.run.writer import RunWriter

TRACES = "nbmlops/not-recorded.txt"
"""The artifact that holds the traces."""


def error_text(error: BaseException) -> str:
    """Return an exception's type and its message, where that can be read.

    >>> error_text(KeyError("x"))
    "KeyError: 'x'"
    """
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception of the user's
        return name
    return f"{name}: {text}" if text else name


def trace_text(error: BaseException) -> str:
    """Return an exception with its trace, secrets masked."""
    try:
        lines = traceback.format_exception(error)
    except Exception:  # noqa: BLE001 - it asks the exception for its text, too
        lines = [*traceback.format_tb(error.__traceback__), error_text(error), "\n"]
    return mask("".join(lines))


def write_trace(error: BaseException) -> Path:
    """Write a trace below the temporary folder, and return its path."""
    content = trace_text(error).encode("utf-8", "backslashreplace")
    with tempfile.NamedTemporaryFile(
        prefix="nbmlops-", suffix=".txt", delete=False
    ) as file:
        file.write(content)
    return Path(file.name)


class Failures:
    """Collects what fails while a run is given its last records."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._traces: list[str] = []

    @contextmanager
    def caught(self, what: str) -> Iterator[None]:
        """Note what could not be recorded; errors of nbmlops and interrupts pass."""
        try:
            yield
        except NbmlopsError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001
            text = error_text(error)
            reason = mask(text.partition("\n")[0])[:200]
            self.notes.append(f"{what} cannot be recorded: {reason} ({TRACES})")
            self._traces.append(f"{what}\n{trace_text(error)}")

    def log(self, run: RunWriter) -> None:
        """Give the run the traces, if there are any."""
        if self._traces:
            text = "\n".join(self._traces)
            run.log_bytes(text.encode("utf-8", "backslashreplace"), TRACES)
