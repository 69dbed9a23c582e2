"""Python's syntax, without a word on what it does."""

from __future__ import annotations

import ast
from collections.abc import Iterable


def parse(code: str) -> ast.Module | None:
    """Return a cell's code as syntax, or None when it is not Python."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        tree = compile(code, "<cell>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if isinstance(tree, ast.Module) else None


def called(node: ast.AST) -> str:
    """Return the last part of what a call calls, "" when that has no name."""
    function = getattr(node, "func", None)
    return getattr(function, "id", "") or getattr(function, "attr", "")


def own_names(body: Iterable[ast.AST]) -> set[str]:
    """Return the names that a body, or a target, binds and that are its own."""
    own: set[str] = set()
    declared: set[str] = set()
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                own.add(node.name)
                continue
            case ast.Lambda():
                continue
            case ast.comprehension():
                waiting += [node.iter, *node.ifs]
                continue
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                declared |= set(names)
            case ast.Import() | ast.ImportFrom():
                own |= {a.asname or a.name.partition(".")[0] for a in node.names}
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                own.add(name)
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
                | ast.MatchMapping(rest=str(name))
            ):
                own.add(name)
        waiting += ast.iter_child_nodes(node)
    return own - declared
