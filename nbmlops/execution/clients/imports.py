"""What a notebook imports, and whether it needs a kernel, seen in its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from nbmlops.tracking.provenance.dataflow.syntax import parse
from nbmlops.tracking.provenance.magics import magic_calls, to_python

_WIDGETS = ("anywidget", "bqplot", "ipympl", "ipywidgets", "panel", "solara")
_GUI = re.compile(r"(?:gui|pdb|debug)\b.*|matplotlib\s+(?!inline|agg|--list|-l)\w.*")
_PATH = re.compile(r"\bsys\.path(?:\.insert\b|\[.*\]\s*=|\s*=(?!=))")
_OURS = ("nbmlops.notebook.extension", "nbmlops.tracking", "mlflow")


def why_front_end(cells: Iterable[Any]) -> str:
    """Return what in a notebook's cells needs a kernel with a front end, or ""."""
    for code in _codes(cells):
        for magic, line in _magics(code):
            if _GUI.fullmatch(f"{magic} {line}"):
                return f"{f'%{magic} {line}'.strip()!r} needs an event loop"
        if _PATH.search(code):
            return "it imports from other folders first"
        for name in _imported(code):
            if name.partition(".")[0] in _WIDGETS:
                return f"{name} makes widgets"
    return ""


def find_imports(cells: Iterable[Any]) -> list[str]:
    """Return the modules that a notebook imports outside of functions."""
    found: dict[str, None] = {}
    for code in _codes(cells):
        for name in _imported(code):
            found[name] = None
    if any(name.partition(".")[0] == "nbmlops" for name in found):
        found |= dict.fromkeys(_OURS)
    return list(found)


def _codes(cells: Iterable[Any]) -> Iterator[str]:
    """Yield the cells as Python, those left out that run something else."""
    for cell in cells:
        if cell.cell_type == "code":
            code = to_python(cell.source)
            if not code.lstrip().startswith("get_ipython().run_cell_magic("):
                yield code


@lru_cache(maxsize=500)
def _magics(code: str) -> tuple[tuple[str, str], ...]:
    tree = parse(code)
    return tuple(magic_calls(tree)) if tree else ()


@lru_cache(maxsize=500)
def _imported(code: str) -> tuple[str, ...]:
    return tuple(_find_imported(code))


def _find_imported(code: str) -> Iterator[str]:
    tree = parse(code)
    if tree is None:
        return
    for magic, line in _magics(code):
        if magic == "load_ext":
            yield from line.split()[:1]
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
