"""A notebook file: reading it, and what its parameters cell declares."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbmlops.errors import NotFoundError, UsageError, did_you_mean
from nbmlops.execution.parameters.annotations import literal
from nbmlops.execution.parameters.parameters import (
    Parameter,
    check_parameters,
    parse_text,
)
from nbmlops.tracking.provenance.magics import to_python

__all__ = [
    "Parameter",
    "check_parameters",
    "code_sources",
    "find_notebook",
    "language",
    "parameters",
    "parse_notebook",
    "parse_text",
    "read_notebook",
    "tagged",
]

PARAMETERS = "parameters"
INJECTED = "injected-parameters"
_ASSIGNMENT = re.compile(
    r"^(?:va[lr] |let |const |\$)?\s*([^\W\d]\w*)\s*(?:<-|=)(?!=)\s*"
)


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


def parameters(notebook: Any) -> dict[str, Parameter] | None:  # noqa: ANN401
    """Return what a notebook's parameters cell declares."""
    index = tagged(notebook, PARAMETERS)
    if index is None:
        return None
    source = notebook.cells[index].source
    if language(notebook).lower() == "python":
        return {found.name: found for found in _declared(source, index)}
    names = (_ASSIGNMENT.match(line) for line in source.splitlines())
    return {
        match[1]: Parameter(name=match[1], default_source=match.string[match.end() :])
        for match in names
        if match
    }


def _declared(source: str, index: int) -> Iterator[Parameter]:
    """Yield the top level assignments of a Python cell; its magics are passed over."""
    code = to_python(source)
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise UsageError(
            f"The parameters cell (cell {index}) is not valid Python: line {line}, "
            f"{getattr(error, 'msg', error)}.",
            fix="Fix the cell tagged 'parameters'.",
        ) from error
    comments = _comments(code)
    for node in tree.body:
        match node:
            case ast.Assign(targets=targets, value=value):
                pairs = [pair for target in targets for pair in _pairs(target, value)]
                annotation = ""
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                pairs = [(name, value)]
                annotation = ast.unparse(node.annotation)
            case _:
                continue
        note = comments.get(node.end_lineno or node.lineno, "")
        for name, default in pairs:
            known = ... if default is None else literal(default)
            kind = "" if known in (..., None) else type(known).__name__
            yield Parameter(
                name=name,
                type=annotation or kind,
                default=None if known is ... else known,
                default_source=ast.unparse(default) if default else "",
                is_literal=known is not ...,
                help=note,
            )


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield names with their values, also of ``a, b = 1, 2``."""
    match target, value:
        case ast.Name(id=name), _:
            yield name, value
        case ((ast.Tuple() | ast.List()), (ast.Tuple() | ast.List())):
            for one, its_value in zip(target.elts, value.elts, strict=False):
                yield from _pairs(one, its_value)
        case ((ast.Tuple() | ast.List()), _):
            for one in target.elts:
                yield from _pairs(one, value)


def _comments(code: str) -> dict[int, str]:
    """Return the comment at the end of each line that has one."""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }
