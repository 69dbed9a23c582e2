"""The notebook that replays a run: the cells it came from, as they ran."""

from __future__ import annotations

import ast
import json
import os
import platform
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from nbmlops._masking import mask_notebook
from nbmlops.errors import UsageError
from nbmlops.tracking.provenance.cells import ExecutedCell
from nbmlops.tracking.provenance.dataflow.syntax import own_names, parse
from nbmlops.tracking.provenance.magics import magic_lines

REPLAY = "nbmlops/replay.ipynb"
"""The artifact's path."""
REPLAYING = "NBMLOPS_REPLAY_OF"
"""Set, in the kernel of a replay, to the run that is replayed."""

_OURS = re.compile(
    r"%(track|runs|register|promote|rollback|deploy|undeploy|endpoints|predict|replay|"
    r"explain|compare)\b"
)
_OUTSIDE = frozenset(
    {"register", "promote", "rollback", "deploy", "undeploy", "replay"}
)
"""Functions of ours that a replay must not call: they change what others use."""


def refuse_in_replay(what: str) -> None:
    """Refuse, in the kernel of a replay, what others would see."""
    if os.environ.get(REPLAYING):
        raise UsageError(
            f"A replay does not {what}.",
            fix="Keep that in a cell of its own, on which no run depends.",
        )


def build(
    cells: Sequence[ExecutedCell],
    codes: Sequence[str],
    *,
    own: Collection[int],
    params: Iterable[str],
    about: Mapping[str, object],
) -> bytes:
    """Return the notebook that runs some executions of cells once more."""
    sources = [
        _without_side_effects(cell.source, code, is_own=position in own)
        for position, (cell, code) in enumerate(zip(cells, codes, strict=True))
    ]
    lifted: dict[str, str] = {}
    pairs = list(zip(sources, codes, strict=True))
    for name in dict.fromkeys(params):
        found = _lift(name, pairs)
        if found is not None:
            lifted[name], pairs = found
    sources = [source for source, _ in pairs]
    document = {
        "cells": [
            _cell("\n".join(lifted.values()), "parameters", {"tags": ["parameters"]}),
            *(
                _cell(source, f"cell-{number}", _metadata_of(cell))
                for number, (source, cell) in enumerate(
                    zip(sources, cells, strict=True), start=1
                )
            ),
        ],
        "metadata": {
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python", "version": platform.python_version()},
            "nbmlops": dict(about),
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    masked = mask_notebook(document)
    # One cell a line: that is ten times as fast as indentation.
    lines = ",\n".join(_to_json(cell) for cell in masked.pop("cells"))
    text = f'{{"cells": [\n{lines}\n],\n{_to_json(masked)[1:]}\n'
    return text.encode("utf-8", "backslashreplace")


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cell(source: str, cell_id: str, metadata: Mapping[str, object]) -> dict[str, Any]:
    """Return a code cell."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": cell_id,
        "metadata": dict(metadata),
        "outputs": [],
        "source": source,
    }


def _metadata_of(cell: ExecutedCell) -> dict[str, object]:
    known: dict[str, object] = {
        "nbmlops": {"execution_count": cell.count, "ending": cell.ending}
    }
    if cell.ending not in ("running", "finished"):
        known["tags"] = ["raises-exception"]  # what it did before may matter
    return known


@lru_cache(maxsize=2000)
def _without_side_effects(source: str, code: str, *, is_own: bool) -> str:
    """Return a cell's source without what would track, register or deploy again."""
    lines = source.split("\n")
    for start, end, column in magic_lines(source):
        before, magic = lines[start][:column], lines[start][column:]
        found = _OURS.match(magic)
        if found and not (is_own and found[1] == "track"):
            nothing = "None" if before.strip() else "pass"
            lines[start] = f"{before}{nothing}  # {magic}"
            for number in range(start + 1, end):
                lines[number] = f"# {lines[number]}"
    for statement in _statements(source, code):
        match statement:
            case ast.Expr(
                value=ast.Call(
                    func=ast.Attribute(value=ast.Name(id="nm" | "nbmlops"), attr=name)
                )
            ) if name in _OUTSIDE:
                _comment_out(lines, statement)
    if not is_own and re.match(r"\s*%%track\b", lines[0]):
        is_below = len(lines) > 1 and lines[1].startswith("%%")  # must come first
        lines[0:1] = [] if is_below else [f"# {lines[0].strip()}"]
    return "\n".join(lines)


def _statements(source: str, code: str) -> Sequence[ast.stmt]:
    """Return the statements that are the same in a cell and in its code."""
    lines, ours = source.split("\n"), code.split("\n")
    tree = parse(code)
    found = []
    for node in tree.body if tree else ():
        span = slice(node.lineno - 1, node.end_lineno)
        rest = ours[span][-1].encode()[node.end_col_offset :].decode().strip()
        is_alone = node.col_offset == 0 and rest[:1] in ("", "#")
        if is_alone and lines[span] == ours[span]:
            found.append(node)
    return found


def _comment_out(lines: list[str], node: ast.stmt) -> None:
    for number in range(node.lineno - 1, node.end_lineno or node.lineno):
        lines[number] = f"# {lines[number]}"


def _lift(
    name: str, pairs: Sequence[tuple[str, str]]
) -> tuple[str, list[tuple[str, str]]] | None:
    """Return a parameter's line, and sources and codes without its assignment."""
    changed: list[tuple[str, str]] = []
    lifted = ""
    is_used = False
    for source, code in pairs:
        if name not in code:
            changed.append((source, code))
            continue
        tree = parse(code)
        if tree is None:
            return None
        texts = source.split("\n"), code.split("\n")
        alone = {node.lineno for node in _statements(source, code)}
        for node in tree.body:
            if not any(_mentions(part, name) for part in ast.walk(node)):
                continue
            line = _literal_line(node, name)
            if line is None or is_used or node.lineno not in alone:
                if _binds(node, name):
                    return None
                is_used = True
                continue
            lifted = line
            others = [f"{n} = {ast.unparse(v)}" for n, v in _pairs(node) if n != name]
            for lines in texts:
                _comment_out(lines, node)
                if others:
                    lines[node.lineno - 1] = "; ".join(others)
        changed.append(("\n".join(texts[0]), "\n".join(texts[1])))
    return (lifted, changed) if lifted else None


def _mentions(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Name(id=found) | ast.arg(arg=found):
            return found == name
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            return name in names
        case ast.FunctionDef(name=found) | ast.ClassDef(name=found):
            return found == name
        case ast.alias(name=origin, asname=found):
            return (found or origin) == name
        case ast.Constant(value=str(text)):  # a magic's line may hold it
            return name in re.findall(r"\w+", text)
    return False


def _binds(node: ast.stmt, name: str) -> bool:
    """Return whether a statement may bind the name, other than inside a function."""
    return name in own_names([node]) or any(
        isinstance(part, ast.Global) and name in part.names for part in ast.walk(node)
    )


def _pairs(node: ast.stmt) -> list[tuple[str, ast.expr]]:
    """Return the names and literals of an assignment of nothing but literals."""
    match node:
        case ast.Assign(
            targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)
        ):
            pass
        case ast.Assign(targets=[ast.Name() as target], value=value):
            targets, values = [target], [value]
        case ast.AnnAssign(target=ast.Name() as target, value=ast.expr() as value):
            targets, values = [target], [value]
        case _:
            return []
    names = [each.id for each in targets if isinstance(each, ast.Name)]
    is_plain = len(names) == len(targets) == len(values)
    if not is_plain or not all(map(_is_literal, values)):
        return []
    return list(zip(names, values, strict=True))


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _literal_line(node: ast.stmt, name: str) -> str | None:
    """Return ``name = literal`` where a statement says just that, else None."""
    found = [value for each, value in _pairs(node) if each == name]
    if len(found) != 1:
        return None
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node)
    return f"{name} = {ast.unparse(found[0])}"
