"""The files that code opens, noted by an audit hook."""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from nbmlops.tracking.import_hook import PostImportHook

Opened = dict[str, float]
"""When each file was first opened to be read; -inf where it was to be written first."""

OF_BLOCKS: Opened = {}
"""What was opened inside of `nm.track` where no session notes it cell by cell."""

_MOST = 10_000
_PYARROW = "pyarrow.parquet.core"
_WRITES = os.O_WRONLY | os.O_RDWR
_opened: Opened | None = None
_installed: tuple[str, ...] = ()
_n_blocks = 0


def listen(opened: Opened | None) -> None:
    """Have the files that any thread of the user's opens noted there, or nowhere."""
    global _opened, _installed
    if opened is not None and not _installed:
        _installed = installed_folders()
        sys.addaudithook(_hook)  # there is no way to take it out again
        if _PYARROW in sys.modules:
            _hear_pyarrow(sys.modules[_PYARROW])
        else:
            sys.meta_path.insert(0, PostImportHook([_PYARROW], _hear_pyarrow))
    _opened = opened


def enter_block() -> None:
    """Note what a block opens, unless its cell is noted as a whole."""
    global _n_blocks
    _n_blocks += 1
    if _opened is None:
        listen(OF_BLOCKS)


def leave_block() -> None:
    """Note no more, when it was the last block that is open."""
    global _n_blocks
    _n_blocks -= 1
    if not _n_blocks and _opened is OF_BLOCKS:
        listen(None)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event == "open" and _opened is not None:
        with suppress(Exception):  # what a hook raises, open() raises
            _note(args[0], args[2])


def _note(path: Any, flags: int = os.O_RDONLY) -> None:  # noqa: ANN401
    opened = _opened
    path = os.fsdecode(path)
    if opened is None or path.startswith(_installed) or len(opened) >= _MOST:
        return
    path = os.path.abspath(path)  # noqa: PTH100 - the folder may change
    if path not in opened and not threading.current_thread().name.startswith("nbmlops"):
        opened[path] = float("-inf") if flags & _WRITES else time.time()


def _hear_pyarrow(parquet: ModuleType) -> None:
    """Note what pyarrow reads, which does not open files through Python."""
    for kind in (parquet.ParquetDataset, parquet.ParquetFile):
        kind.__init__ = _noting(kind.__init__)


def _noting(make: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(make)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401, N807
        try:
            make(self, *args, **kwargs)
        except BaseException as error:
            error.__traceback__ = error.__traceback__.tb_next  # type: ignore[union-attr]
            raise
        with suppress(Exception):
            given = [*args, *kwargs.values()][:1]
            for path in getattr(self, "files", given) if _opened is not None else ():
                _note(path)

    return __init__


@functools.cache
def installed_folders() -> tuple[str, ...]:
    """Return the folders of Python, its packages and nbmlops, each with a slash."""
    paths = map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))
    ours = str(Path(__file__).parents[2])
    folders = {*paths, *site.getsitepackages(), site.getusersitepackages(), ours}
    return tuple(f"{os.path.normpath(folder)}{os.sep}" for folder in folders)
