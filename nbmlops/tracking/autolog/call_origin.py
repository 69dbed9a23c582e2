"""Whose code is calling: the user's, or that of an installed package."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from types import CodeType, FrameType
from typing import Literal

from nbmlops.tracking.provenance.opened_files import installed_folders

WRAPPER_FILE = "<nbmlops wrapper, passed over as importlib._bootstrap is>"
"""File name of the frames around a patched call.

A warning that names its caller by ``stacklevel`` passes over frames of the import
system, which Python knows by these two words in the file's name, so that it still
names the line of the user. The frames leave every traceback by themselves.
"""

Origin = Literal["user", "installed", "sklearn", "mlflow", "wrapper"]

# A measurement calls what it measures many times over; none of it makes a model.
_TIMERS = ("<magic-timeit>", "<timeit-src>")
_INSTALLED = (*installed_folders(), "<frozen ", "<decorator-gen-")


@lru_cache(maxsize=8192)
def origin_of(file: str) -> Origin:
    """Return where the code of a file is from."""
    if file == WRAPPER_FILE:
        return "wrapper"
    packages: tuple[Literal["sklearn", "mlflow"], ...] = ("sklearn", "mlflow")
    for package in packages:
        for folder in getattr(sys.modules.get(package), "__path__", ()):
            if file.startswith(f"{folder}{os.sep}"):
                return package
    is_installed = file.startswith(_INSTALLED) or file in _TIMERS
    return "installed" if is_installed else "user"


def is_users(frame: FrameType) -> bool:
    """Return whether a frame runs the user's code."""
    return origin_of(frame.f_code.co_filename) == "user"


def is_first_call(caller: FrameType, fit_codes: Mapping[int, CodeType]) -> bool:
    """Return whether the user asks for a fit, not something the user's fit calls."""
    frame: FrameType | None = caller
    while frame is not None:
        code = frame.f_code
        origin = origin_of(code.co_filename)
        if origin in ("sklearn", "wrapper") or id(code) in fit_codes:
            return False
        if code.co_name == "<module>" and origin == "user":
            return True  # a cell or a script: below is what runs it
        frame = frame.f_back
    return True
