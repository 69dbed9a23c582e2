"""A notebook and its kernel, read without nbformat, which takes a second to import.

What looks otherwise than a plain notebook of format 4 is left to `read_notebook`, so
both say the same of what is none.
"""

from __future__ import annotations

import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from nbmlops.errors import NotFoundError, did_you_mean
from nbmlops.execution.notebooks.notebook import read_notebook

_KINDS = ("code", "markdown", "raw")
_OUTPUTS = ("stream", "display_data", "execute_result", "error")


class _Node(dict[str, Any]):
    """A dict whose keys are attributes, too."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


def read_quickly(path: Path) -> Any:  # noqa: ANN401 - as nbformat's
    """Return the notebook in a file, for its code, parameters and metadata.

    A process reads it once, and again only when it has changed; it is not to be edited.
    """
    try:
        found = path.stat()
        stamp = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
        document = _read(path, stamp)
    except (ValueError, RecursionError, OSError):
        document = None
    return read_notebook(path) if document is None else document


@lru_cache(maxsize=200)
def _read(path: Path, _stamp: tuple[int, ...]) -> Any:  # noqa: ANN401
    document = json.loads(path.read_bytes(), object_hook=_Node)
    if not _is_plain(document):
        return None
    for cell in document.cells:
        cell["source"] = "".join(cell.source)
        cell.pop("outputs", None)  # which may be large
    return document


def _is_plain(document: object) -> bool:
    match document:
        case {"nbformat": 4, "metadata": {**metadata}, "cells": [*cells]}:
            spec = metadata.get("kernelspec", {})
            info = metadata.get("language_info", {})
            is_named = isinstance(spec, dict) and isinstance(info, dict)
            return is_named and all(map(_is_cell, cells))
    return False


def _is_cell(cell: Any) -> bool:  # noqa: ANN401
    match cell:
        case {"cell_type": kind, "metadata": {**metadata}, "source": source}:
            tags = metadata.get("tags", [])
            return (
                kind in _KINDS
                and _is_text(source)
                and _is_text(tags)
                and (kind != "code" or _are_outputs(cell.get("outputs")))
            )
    return False


def _is_text(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(each, str) for each in value)
    )


def _are_outputs(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict) and each.get("output_type") in _OUTPUTS for each in value
    )


def kernel_of(notebook: Any, given: str | None = None) -> str:  # noqa: ANN401
    """Return the name of the kernel a notebook is run with."""
    return str(given or notebook.metadata.get("kernelspec", {}).get("name", "python3"))


def read_kernel(name: str) -> dict[str, Any]:
    """Return the spec of an installed kernel."""
    from jupyter_core.paths import jupyter_path

    for folder in jupyter_path("kernels"):
        path = Path(folder, name, "kernel.json")
        try:
            spec = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(spec, dict) and spec.get("argv"):
            return spec
    if name == "python3":  # the kernel of this Python, which needs no file
        return {"argv": [sys.executable], "language": "python"}
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    manager = KernelSpecManager()
    try:
        found: dict[str, Any] = manager.get_kernel_spec(name).to_dict()
    except NoSuchKernel as error:
        known = sorted(manager.find_kernel_specs())
        raise NotFoundError(
            f"No kernel {name!r} is installed.{did_you_mean(name, known)}",
            fix=f"Give one of: {', '.join(known)}.",
        ) from error
    return found
