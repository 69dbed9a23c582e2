"""The files that cells name, as a run found them: digests, and copies for replays."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from nbmlops.tracking.cells import is_local
from nbmlops.tracking.dataflow.syntax import parse

LARGEST_BYTES = 100_000_000
"""Larger files are named, but neither hashed nor kept."""
_MOST_FILES = 1000
_CLOCK_S = 0.02  # the clock of files may run so far behind
_CODE = (".py",)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFile:
    """A file that the cells of a run name, or a module of the project that they load.

    Attributes
    ----------
    path : str
        Relative to the project with ``/``; absolute outside of it.
    role : {"data", "code", "made"}
        ``made`` when it changed after the first cell that names it began.
    size_bytes : int
        Its size, at least 0.
    sha256 : str or None
        64 hexadecimal digits; None when it is too large to be read.
    """

    path: str
    role: Literal["data", "code", "made"]
    size_bytes: int
    sha256: str | None


def named_files(
    codes: Sequence[str], *, folder: Path, project: Path, since: Sequence[float]
) -> tuple[NamedFile, ...]:
    """Return the files that pieces of code name, and the project's own loaded modules.

    A text in the code names a file when there is one of that name, below the working
    folder or below a folder that another text names; with ``*`` it names all that fit.

    Parameters
    ----------
    codes : sequence of str
        Python.
    folder : Path
        The working folder.
    project : Path
        The project's folder.
    since : sequence of float
        When each piece began to run, in seconds since 1970.

    Returns
    -------
    tuple of NamedFile
        Ordered by path.
    """
    found: dict[str, NamedFile] = {}
    folders = [folder]
    for code in codes:
        folders += [folder / t for t in _texts(code) if (folder / t).is_dir()]
    for code, began_at in zip(codes, since, strict=True):
        for path in _paths(_texts(code), list(dict.fromkeys(folders))):
            named = _look_at(path, project, began_at)
            if named is not None:
                found.setdefault(named.path, named)
    for name, module in sys.modules.copy().items():  # other threads may import
        if "." not in name and is_local(name, project):
            for path in _sources(Path(str(module.__file__))):
                named = _look_at(path, project, None)
                if named is not None:
                    found[named.path] = named
    return tuple(found[path] for path in sorted(found))


def keep(files: Iterable[NamedFile], *, project: Path, home: Path) -> None:
    """Copy files that are not kept yet below ``home/data``, by their content.

    Parameters
    ----------
    files : iterable of NamedFile
        What `named_files` found.
    project : Path
        The project's folder.
    home : Path
        The folder of all that nbmlops keeps for the project.
    """
    for file in files:
        if file.sha256 is None or file.role == "made":
            continue
        target = kept_copy(home, file.sha256)
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(f".{os.getpid()}")
        shutil.copyfile(project / file.path, draft)
        draft.replace(target)


def kept_copy(home: Path, sha256: str) -> Path:
    """Return where the copy of a content is, if it was kept."""
    return home / "data" / sha256[:2] / sha256


def digest(path: Path) -> str | None:
    """Return the sha256 of a file, or None when it is gone or too large."""
    try:
        found = path.stat()
    except OSError:
        return None
    if found.st_size > LARGEST_BYTES:
        return None
    return _digest(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1000)
def _digest(path: Path, _changed_ns: int, _size: int) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


@lru_cache(maxsize=1000)
def _texts(code: str) -> tuple[str, ...]:
    """Return the texts in a piece of code that may be paths."""
    tree = parse(code)
    nodes = ast.walk(tree) if tree is not None else ()
    texts = {
        word
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for word in (node.value, *node.value.split())
        if 0 < len(word) < 300 and word.strip("./ ") and word.isprintable()
    }
    return tuple(sorted(texts))


def _paths(texts: Iterable[str], folders: Sequence[Path]) -> Iterator[Path]:
    for text in texts:
        for folder in folders:
            if "*" in text and not text.startswith("/"):
                try:
                    fitting = [p for p, _ in zip(folder.glob(text), range(_MOST_FILES))]  # noqa: B905
                except (ValueError, NotImplementedError, OSError):
                    continue
                yield from fitting
            else:
                yield folder / text


def _look_at(path: Path, project: Path, began_at: float | None) -> NamedFile | None:
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    try:
        if not path.is_file() or path.suffix == ".ipynb":
            return None
        status = path.stat()
    except OSError:
        return None
    is_inside = path.is_relative_to(project)
    if is_inside and path.relative_to(project).parts[0] in (".nbmlops", ".git"):
        return None
    role: Literal["data", "code", "made"] = "data"
    if began_at is None or path.suffix in _CODE:
        role = "code"
    elif status.st_mtime >= began_at - _CLOCK_S:
        role = "made"
    return NamedFile(
        path=path.relative_to(project).as_posix() if is_inside else path.as_posix(),
        role=role,
        size_bytes=status.st_size,
        sha256=digest(path),
    )


def _sources(module: Path) -> Iterator[Path]:
    """Yield the files of a module; of a package, all below its folder."""
    if module.name != "__init__.py":
        yield module
        return
    yield from (p for p, _ in zip(module.parent.rglob("*.py"), range(_MOST_FILES)))  # noqa: B905
