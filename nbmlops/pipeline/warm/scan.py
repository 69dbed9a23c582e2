"""What a notebook imports, and whether it needs a kernel, seen in its code."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

_WIDGETS = ("anywidget", "bqplot", "ipympl", "ipywidgets", "panel", "solara")
_MAGIC = re.compile(r"^[ \t]*(?:[%!?].*|.*\?)$", re.MULTILINE)
_NOT_PYTHON = re.compile(
    r"\s*%%(?!(?:capture|prun|time|timeit|track)\b)\w+", re.IGNORECASE
)
_GUI = re.compile(
    r"^[ \t]*%(?:(?:gui|pdb|debug)\b|matplotlib[ \t]+(?!inline|agg|--list|-l)\w)",
    re.MULTILINE,
)
_EXTENSION = re.compile(r"^[ \t]*%load_ext[ \t]+([\w.]+)", re.MULTILINE)
_PATH = re.compile(r"\bsys\.path(?:\.insert\b|\[.*\]\s*=|\s*=(?!=))")
_OURS = ("nbmlops.notebook.extension", "nbmlops.tracking", "mlflow")


def why_a_kernel(cells: Iterable[Any]) -> str:
    """Return what in a notebook's cells needs a kernel with a front end, or "".

    Parameters
    ----------
    cells : iterable of nbformat.NotebookNode
        The cells of a notebook in Python.

    Returns
    -------
    str
        The end of a sentence that begins with "because".
    """
    for source in _sources(cells):
        magic = _GUI.search(source)
        if magic:
            return f"{magic[0].strip()!r} needs an event loop"
        if _PATH.search(source):
            return "it imports from other folders first"
        for name in _imported(source):
            if name.partition(".")[0] in _WIDGETS:
                return f"{name} makes widgets"
    return ""


def imports(cells: Iterable[Any]) -> list[str]:
    """Return the modules that a notebook imports outside of functions.

    Parameters
    ----------
    cells : iterable of nbformat.NotebookNode
        The cells of a notebook in Python.

    Returns
    -------
    list of str
        Dotted names in the order of the cells. ``from a import b`` gives ``a`` and
        ``a.b``, which need not be a module.
    """
    found: dict[str, None] = {}
    for source in _sources(cells):
        for name in _imported(source):
            found[name] = None
    if any(name.partition(".")[0] == "nbmlops" for name in found):
        found |= dict.fromkeys(_OURS)
    return list(found)


def _sources(cells: Iterable[Any]) -> Iterator[str]:
    for cell in cells:
        if cell.cell_type == "code" and not _NOT_PYTHON.match(cell.source):
            yield cell.source


@lru_cache(maxsize=500)
def _imported(source: str) -> tuple[str, ...]:
    return tuple(_find_imported(source))


def _find_imported(source: str) -> Iterator[str]:
    yield from _EXTENSION.findall(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(_MAGIC.sub("", source))
    except (SyntaxError, ValueError):
        return
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
                yield from (f"{module}.{a.name}" for a in node.names if a.name != "*")
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                pass
            case _:
                waiting += ast.iter_child_nodes(node)
