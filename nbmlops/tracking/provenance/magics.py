"""Magics and shell lines, separated from Python by IPython's own tokens."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

PYTHON_MAGICS = frozenset(
    ["time", "timeit", "capture", "prun", "memit", "mprun", "lprun", "track"]
)
"""Cell magics that run the Python below them."""
_HEAD = re.compile(r"\s*%%(\w+).*\n?")
# What IPython must look at: most cells are Python, and to load it takes a while.
_MAYBE = re.compile(r"(?m)\A[ \t]|^\s*([%!?,;/>]|\.\.\.|In \[)|\?\s*$|=\s*[%!]")


def _transformed(source: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager

    manager: Any = TransformerManager  # which has no types
    return str(manager().transform_cell(source))


@lru_cache(maxsize=1000)
def to_python(source: str) -> str:
    r"""Return a cell as Python, its magics and shell lines as calls of IPython's shell.

    Of a cell magic that runs Python, such as ``%%time``, it is that Python. Lines keep
    their numbers, but for those that a magic is continued on.

    >>> to_python("%%time\n!train --lr 0.1\ntext = '''\n%no magic'''")
    "\nget_ipython().system('train --lr 0.1')\ntext = '''\n%no magic'''\n"
    """
    head = _HEAD.match(source)
    if head and head[1].lower() in PYTHON_MAGICS:
        return "\n" * head[0].count("\n") + to_python(source[head.end() :])
    if not _MAYBE.search(source):
        return source
    start = re.match(r"(\s*\n)?", source)
    n_blank = start[0].count("\n") if start else 0  # IPython drops them
    try:
        return "\n" * n_blank + _transformed(source)
    except (SyntaxError, RuntimeError):
        return source


def magic_calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    r"""Yield the name and the line of each line magic in a cell that is Python by now.

    >>> list(magic_calls(ast.parse(to_python("%run a.py\nx = %env HOME"))))
    [('run', 'a.py'), ('env', 'HOME')]
    """
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="run_line_magic"),
                args=[ast.Constant(value=str(name)), ast.Constant(value=str(line))],
            ):
                yield name, line


def magic_lines(source: str) -> Iterator[tuple[int, int, int]]:
    """Yield where a cell's line magics and shell lines are.

    As the numbers of the first line and of the one behind the last, from 0, and as the
    column; of an assignment's that is behind its ``=``.
    """
    lines = source.splitlines(keepends=True)
    head = _HEAD.match(source)
    if head:
        n_lines = head[0].count("\n")
        lines[:n_lines] = ["\n"] * n_lines
    if (head and head[1].lower() not in PYTHON_MAGICS) or not _MAYBE.search(source):
        return
    from IPython.core import inputtransformer2 as transformers

    kinds: tuple[Any, ...] = (
        transformers.EscapedCommand,
        transformers.MagicAssign,
        transformers.SystemAssign,
    )
    while True:
        # One by one: code after a magic may have no tokens until that is gone.
        tokens = transformers.make_tokens_by_line(lines)
        found = [each for each in (kind.find(tokens) for kind in kinds) if each]
        if not found:
            return
        first = min(found, key=lambda each: (each.start_line, each.start_col))
        start, column = first.start_line, first.start_col
        end = transformers.find_end_of_continued_line(lines, start) + 1
        yield start, end, column
        lines[start:end] = [
            f"{lines[start][:column]}None\n",
            *["\n"] * (end - start - 1),
        ]
