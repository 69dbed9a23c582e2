"""What MLflow prints and warns of on its own, kept from the user's output."""

from __future__ import annotations

import re
import sys
import warnings
from typing import Any

_LEVEL = re.compile(r"\S+ \S+ (?P<level>[A-Z]+) mlflow")
_MAX_CHARS = 100_000


class MlflowLogCapture:
    """Holds back what MLflow says while it is held; errors still pass."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._stream: Any = None
        self._is_held = False

    def hold(self) -> None:
        """Begin to hold back; again, when MLflow was not loaded the last time."""
        if not self._is_held:
            self._is_held = True
            self._show_before = warnings.showwarning
            warnings.showwarning = self._warn  # type: ignore[assignment]
        module = sys.modules.get("mlflow.utils.logging_utils")
        stream = getattr(module, "MLFLOW_LOGGING_STREAM", None)
        if self._stream is None and stream is not None:
            # Loggers and prints of MLflow's all go through this one object.
            self._stream, self._write_before = stream, stream.write
            stream.write = self._write

    def release(self) -> None:
        """Hold back no longer; what was put in place meanwhile stays there."""
        if not self._is_held:
            return
        self._is_held = False
        if warnings.showwarning == self._warn:
            warnings.showwarning = self._show_before
        if self._stream is not None and self._stream.write == self._write:
            self._stream.write = self._write_before
        self._stream = None

    def _write(self, text: str) -> None:
        found = _LEVEL.match(text)
        level = found["level"] if found else "INFO"
        if level in ("ERROR", "CRITICAL") or not self._is_held:
            self._write_before(text)
        elif level == "WARNING":
            self._keep(text)

    def _warn(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        *place: Any,
    ) -> None:
        mlflow = sys.modules.get("mlflow")
        home = getattr(mlflow, "__path__", ["\0"])[0]
        if self._is_held and filename.startswith(home):
            self._keep(f"{category.__name__}: {message}")
        else:
            self._show_before(message, category, filename, *place)

    def _keep(self, text: str) -> None:
        if sum(map(len, self.warnings)) < _MAX_CHARS:
            self.warnings.append(text.strip())
