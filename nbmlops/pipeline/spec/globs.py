"""Which files a path or glob of a pipeline file matches.

Dependencies, cache keys and checks all ask this one matcher, so they cannot disagree.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from fnmatch import translate
from pathlib import Path

GLOB = re.compile(r"[*?\[]")
"""What makes a path a glob."""
TOOL_FOLDERS = frozenset({"__pycache__", ".ipynb_checkpoints"})
"""Folders that Python and Jupyter make by themselves; no wildcard fits them."""
DRAFT = ".nbmlops-draft-"
"""How files begin that nbmlops is writing; no wildcard fits them, either."""
_Reached = frozenset[int]


class PathPattern:
    """A path or glob, relative to a folder.

    ``*``, ``?`` and ``[...]`` stay inside of one name and fit hidden ones, too; ``**``
    is zero or more folders. What fits matches all files below it. A name that is
    there, or is about to be made, is that file even if it looks like a glob.
    """

    def __init__(self, folder: Path, text: str, made: Iterable[Path] = ()) -> None:
        here = os.path.abspath(folder)  # noqa: PTH100 - resolve() would follow links
        self.path = Path(os.path.normpath(Path(here, text)))
        self._names, self.base = self.path.parts, self.path
        self._wild: dict[int, re.Pattern[str]] = {}
        if GLOB.search(text) and not (
            os.path.lexists(self.path)
            or any(path.is_relative_to(self.path) for path in made)
        ):
            n_above = len(Path(os.path.commonpath((here, self.path))).parts)
            self._wild = {
                n: re.compile(translate(name))
                for n, name in enumerate(self._names)
                if n >= n_above and GLOB.search(name)
            }
            self.base = Path(*self._names[: min(self._wild, default=None)])
        self._any = {n for n in self._wild if self._names[n] == "**"}
        self._end = len(self._names)
        self.is_glob = bool(self._wild)

    def fits(self, path: Path) -> bool:
        """Return whether it matches a file at this normalized path."""
        return self._end in self._reach(path)

    def may_fit_below(self, path: Path) -> bool:
        """Return whether it matches a file there, or below if that is a folder."""
        return bool(self._reach(path))

    def files(self) -> Iterator[Path]:
        """Yield the files that are there, in order, behind links, too."""
        at = self._reach(self.base)
        if self.base.is_dir():
            yield from self._walk(self.base, at, (os.path.realpath(self.base),))
        elif self._end in at and self.base.is_file():
            yield self.base

    def _walk(
        self, folder: Path, at: _Reached, above: tuple[str, ...]
    ) -> Iterator[Path]:
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except PermissionError:
            return
        for entry in entries:
            after = self._advance(at, entry.name)
            if not after:
                continue
            if entry.is_dir():
                real = f"{above[-1]}/{entry.name}"
                if entry.is_symlink():
                    real = os.path.realpath(real)
                if real not in above:  # a link may lead round in a circle
                    yield from self._walk(Path(entry.path), after, (*above, real))
            elif self._end in after and entry.is_file():
                yield Path(entry.path)

    def _reach(self, path: Path) -> _Reached:
        """Return the positions in the pattern that a path leads to."""
        at = self._closed({0})
        for name in path.parts:
            at = self._advance(at, name)
        return at

    def _advance(self, at: _Reached, name: str) -> _Reached:
        found = set()
        for n in at:
            if n < self._end and n not in self._wild:
                found |= {n + 1} if name == self._names[n] else set()
            elif name in TOOL_FOLDERS or name.startswith(DRAFT):
                continue
            elif n == self._end or n in self._any:
                found.add(n)
            elif self._wild[n].match(name):
                found.add(n + 1)
        return self._closed(found)

    def _closed(self, at: set[int]) -> _Reached:
        """Let each ``**`` stand for no folder, too."""
        for n in sorted(self._any):
            if n in at:
                at.add(n + 1)
        return frozenset(at)
