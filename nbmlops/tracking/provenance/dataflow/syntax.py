"""Python's syntax, without a word on what it does."""

from __future__ import annotations

import ast
from collections.abc import Sequence


def parse(code: str) -> ast.Module | None:
    """Return a cell's code as syntax, or None when it is not Python."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        tree = compile(code, "<cell>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if isinstance(tree, ast.Module) else None


def called(node: ast.Call) -> str:
    """Return the last part of what a call calls, "" when that has no name."""
    return getattr(node.func, "id", "") or getattr(node.func, "attr", "")


def arguments(node: ast.AST) -> list[ast.arg]:
    """Return the parameters of a function; none of anything else."""
    given = getattr(node, "args", None)
    if not isinstance(given, ast.arguments):
        return []
    rest = [each for each in (given.vararg, given.kwarg) if each is not None]
    return [*given.posonlyargs, *given.args, *given.kwonlyargs, *rest]


def own_names(body: Sequence[ast.AST]) -> tuple[set[str], set[str]]:
    """Return the names that a function's or class's body binds, and its globals."""
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
            case _:
                own |= set(pattern_names(node))
        waiting += ast.iter_child_nodes(node)
    return own, declared


def pattern_names(node: ast.AST) -> list[str]:
    """Return the name that an ``except`` or a pattern of ``match`` binds."""
    match node:
        case (
            ast.ExceptHandler(name=str(name))
            | ast.MatchAs(name=str(name))
            | ast.MatchStar(name=str(name))
            | ast.MatchMapping(rest=str(name))
        ):
            return [name]
    return []
