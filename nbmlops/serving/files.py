"""The files of a version, as a process that serves it loads them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from nbmlops._hashing import folder_digest
from nbmlops.errors import DeployError
from nbmlops.store.models.own_code import Trust

_COPY = "nbmlops-loaded-"
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - for a full disk


@contextmanager
def checked_files(
    folder: Path, target: str, *, digest: str, trust: Trust
) -> Iterator[Path]:
    """Yield a folder to load a model from, whose files are what their hash says.

    Where code of theirs may run it is a copy: what is checked is what is loaded, even
    if somebody changes the files in between. It stays for modules imported later.
    """
    copied = None
    try:
        files = folder
        if trust:
            files = copied = _copy(folder)
        if digest not in ("", folder_digest(files)):
            raise DeployError(
                f"The endpoint's copy of {target} has been changed.",
                fix="Deploy the version again, which copies its files again.",
            )
        yield files
    finally:
        if copied is not None:
            shutil.rmtree(copied, ignore_errors=True)


def _copy(folder: Path) -> Path:
    # Of processes that were killed.
    for left in (*folder.parent.glob(f"{_COPY}*"), *_IN_MEMORY.glob(f"{_COPY}*")):
        if not psutil.pid_exists(int(left.name.removeprefix(_COPY))):
            shutil.rmtree(left, ignore_errors=True)
    name = f"{_COPY}{os.getpid()}"
    copied = folder.parent / name
    try:
        shutil.copytree(folder, copied)
    except OSError:
        shutil.rmtree(copied, ignore_errors=True)
        if not _IN_MEMORY.is_dir():
            raise
        copied = _IN_MEMORY / name
        shutil.rmtree(copied, ignore_errors=True)
        with suppress(shutil.Error):  # what is missing has another hash
            shutil.copytree(folder, copied)
    return copied


def prepare_loading() -> None:
    """Have this process leave a model's files as they are, and read no caches.

    A pipeline with a memory keeps what it fits as pickles, in a folder that the model
    names. A crafted model can have it fitted as it predicts, and bring the pickles.
    """
    import joblib  # type: ignore[import-untyped]

    sys.dont_write_bytecode = True  # the folder is to stay what its hash says
    joblib.Memory = _no_memory  # what scikit-learn makes of the folder's name


def _no_memory(*_: object, **__: object) -> Any:  # noqa: ANN401 - joblib's Memory
    from joblib.memory import Memory  # type: ignore[import-untyped]

    return Memory(None, verbose=0)
