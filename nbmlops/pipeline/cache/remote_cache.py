"""A folder beyond this machine, where results of steps are kept for others, too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from nbmlops._masking import mask
from nbmlops.errors import DependencyError, UsageError

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class RemoteCache:
    """Files by name, in a folder of any file system or object store fsspec knows.

    Readers must check what they read: what others wrote may be half of it, or
    gone. When it does not answer, that is said once, and it counts as empty.
    """

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs

            self._fs, self._root = url_to_fs(url)
        except ImportError as error:
            raise DependencyError(
                f"The cache at {mask(url)} needs a package: {error}.",
                fix='Install it; fsspec itself is in: pip install "nbmlops[cache]".',
            ) from error
        except ValueError as error:
            raise UsageError(
                f"[tool.nbmlops.cache] url is {mask(url)!r}: {error}.",
                fix="Give a folder, such as s3://bucket/folder or file:///mnt/cache.",
            ) from error
        self._shown, self._is_up = mask(url), True

    def read(self, name: str) -> bytes | None:
        """Return what a small file holds, or None."""
        return self._ask(lambda: bytes(self._fs.cat_file(self._path(name))))

    def fetch(self, name: str, path: Path) -> bool:
        """Copy a file to this machine, and return whether it was there."""

        def fetch() -> bool:
            self._fs.get_file(self._path(name), str(path))
            return True

        return self._ask(fetch) or False

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, in place of what is there."""
        self._ask(lambda: self._write(name, lambda to: self._fs.pipe_file(to, content)))

    def put(self, name: str, path: Path) -> None:
        """Copy a file of this machine, unless one of its size is there."""

        def put() -> None:
            with suppress(FileNotFoundError):
                if self._fs.info(self._path(name))["size"] == path.stat().st_size:
                    return
            self._write(name, lambda to: self._fs.put_file(str(path), to))

        self._ask(put)

    def remove(self, name: str) -> None:
        """Take out a file that is not what it says it is."""
        self._ask(lambda: self._fs.rm_file(self._path(name)))

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _write(self, name: str, write: Callable[[str], object]) -> None:
        """Write whole or not at all, as object stores do by themselves."""
        path = self._path(name)
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        if self._fs.protocol not in (("file", "local"), "file"):
            write(path)
            return
        draft = f"{path}.{uuid4().hex}"
        write(draft)
        Path(draft).replace(path)

    def _ask(self, question: Callable[[], Answer]) -> Answer | None:
        if not self._is_up:
            return None
        try:
            return question()
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001 - each store has its own
            self._is_up = False
            _log.warning("The cache at %s is left out: %s", self._shown, error)
            return None
