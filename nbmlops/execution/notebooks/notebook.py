"""A notebook file, read whole or fast."""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from nbmlops.errors import NotFoundError, UsageError, did_you_mean

PARAMETERS = "parameters"
INJECTED = "injected-parameters"
_KINDS = ("code", "markdown", "raw")
_OUTPUTS = ("stream", "display_data", "execute_result", "error")


def find_notebook(path: str | Path) -> Path:
    """Return the absolute path of a notebook on this machine."""
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(path), re.IGNORECASE):
        raise UsageError(
            f"{str(path)!r} is a URL.", fix="Download the notebook and name the file."
        )
    found = Path(path)
    if found.is_dir():
        raise UsageError(
            f"{str(path)!r} is a folder, not a notebook.", fix="Name an .ipynb file."
        )
    if not found.is_file():
        there = [file.name for file in found.parent.glob("*.ipynb")]
        raise NotFoundError(
            f"No notebook {str(path)!r}.{did_you_mean(found.name, there)}",
            fix="Check the path; it is relative to the working folder.",
        )
    return Path(os.path.abspath(found))  # noqa: PTH100 - resolve() would follow links


def read_notebook(path: Path) -> Any:  # noqa: ANN401 - nbformat ships no types
    """Return the notebook in a file, as nbformat's current version 4."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"Cannot read {str(path)!r}: {error.strerror}.",
            fix="Check the file's permissions.",
        ) from error
    except UnicodeDecodeError as error:
        raise _not_a_notebook(str(path), f"it is not JSON ({error})") from error
    return parse_notebook(text, str(path))


def parse_notebook(text: str, name: str) -> Any:  # noqa: ANN401 - as above
    """Return the notebook in a text, as nbformat's current version 4."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _not_a_notebook(name, f"it is not JSON ({error})") from error
    version = document.get("nbformat") if isinstance(document, dict) else None
    if type(version) is not int:
        raise _not_a_notebook(name, "it has no field 'nbformat'")
    if version > 4:
        raise _not_a_notebook(name, f"its format {version} is too new")
    if version == 1:
        _check_kinds(document, name)

    import nbformat
    from nbformat import reader

    try:
        node = reader.reads(text)  # type: ignore[no-untyped-call]
        node = nbformat.convert(node, to_version=4)  # type: ignore[no-untyped-call]
        node = nbformat.v4.upgrade(node)  # type: ignore[no-untyped-call]
        node = nbformat.from_dict(node)  # type: ignore[no-untyped-call]
        _, node = nbformat.validator.normalize(node)
        nbformat.validate(node)
    except (
        nbformat.ValidationError,
        ValueError,
        AssertionError,
        AttributeError,
        LookupError,
        NameError,  # of nbformat's own, for what an old format does not have
        RuntimeError,
        TypeError,
    ) as error:
        is_told = isinstance(error, nbformat.ValidationError | ValueError)
        reason = str(error).partition("\n")[0] if is_told else ""
        raise _not_a_notebook(
            name, reason or f"it does not follow format {version}"
        ) from error
    return node


def _check_kinds(document: dict[str, Any], name: str) -> None:
    """Refuse cells that format 1 does not have: nbformat repeats the one before."""
    cells = document.get("cells")
    for cell in cells if isinstance(cells, list) else ():
        kind = cell.get("cell_type") if isinstance(cell, dict) else None
        if kind not in ("code", "text"):
            raise _not_a_notebook(name, f"its format 1 has no {kind!r} cells")


def _not_a_notebook(name: str, why: str) -> UsageError:
    return UsageError(
        f"{name!r} is not a notebook: {why}.",
        fix="Name an .ipynb file that JupyterLab can open.",
    )


class _Node(dict[str, Any]):
    """A dict whose keys are attributes, too."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


def read_quickly(path: Path) -> Any:  # noqa: ANN401 - as nbformat's
    """Return the notebook in a file, for its code, parameters and metadata.

    It spares the second that nbformat takes to import: what looks otherwise than a
    plain notebook of format 4 is left to `read_notebook`. A process reads it once, and
    again only when it has changed; it is not to be edited.
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


def tagged(notebook: Any, tag: str) -> int | None:  # noqa: ANN401
    """Return the position of the first code cell with a tag."""
    return next(
        (
            index
            for index, cell in enumerate(notebook.cells)
            if cell.cell_type == "code" and tag in cell.metadata.get("tags", [])
        ),
        None,
    )


def language(notebook: Any) -> str:  # noqa: ANN401
    """Return the language a notebook says it is written in."""
    metadata = notebook.metadata
    name = metadata.get("language_info", {}).get("name")
    return str(name or metadata.get("kernelspec", {}).get("language") or "python")


def code_sources(notebook: Any) -> list[str]:  # noqa: ANN401
    """Return a notebook's code, as its hash takes it."""
    return [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and INJECTED not in cell.metadata.get("tags", [])
    ]
