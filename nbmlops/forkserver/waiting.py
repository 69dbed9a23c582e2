"""Waiting for what can be read, however many files are open."""

from __future__ import annotations

import selectors
from collections.abc import Sequence
from typing import Protocol


class _File(Protocol):
    def fileno(self) -> int: ...


def readable(files: Sequence[int | _File], timeout_s: float) -> list[int | _File]:
    """Return those that can be read, or have ended, as soon as there is one.

    `select.select` does this for descriptors below 1024 alone.
    """
    with selectors.DefaultSelector() as selector:
        for file in files:
            selector.register(file, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(timeout_s)]
