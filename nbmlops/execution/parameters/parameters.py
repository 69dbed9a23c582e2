"""What a notebook's parameters cell declares, and whether given values are that."""

from __future__ import annotations

import ast
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nbmlops._masking import mask, mask_tree
from nbmlops.errors import UsageError, did_you_mean
from nbmlops.execution.notebooks.notebook import PARAMETERS, language, tagged
from nbmlops.execution.parameters.annotations import (
    fits,
    literal,
    parse,
    tupled,
    wants_float,
)
from nbmlops.secrets import Secret, find_reference
from nbmlops.tracking.provenance.magics import to_python

_ASSIGNMENT = re.compile(
    r"^(?:va[lr] |let |const |\$)?\s*([^\W\d]\w*)\s*(?:<-|=)(?!=)\s*"
)
_MAX_DEPTH = 50
_EXACT = (bool, int, float, str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A name that the notebook's parameters cell assigns."""

    name: str
    type: str = ""
    default: object = None
    default_source: str = ""
    is_literal: bool = False
    help: str = ""

    def __str__(self) -> str:
        head = f"{self.name}: {self.type}" if self.type else self.name
        if not self.default_source:
            return head
        whole = mask(f"{head} = {self.default_source}")
        return f"{head} = {_shorten(whole.removeprefix(f'{head} = '))}"


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


class ParametersError(UsageError):
    """Values that a notebook's parameters cannot take."""

    def __init__(self, faults: Mapping[str, str], *, fix: str) -> None:
        super().__init__(" ".join(faults.values()), fix=fix)
        self.fields = dict(faults)


def refuse_other(given: object) -> None:
    """Refuse what gives no values by name."""
    if not isinstance(given, Mapping):
        raise UsageError(
            f"The parameters are {given!r:.60}, not a mapping of names to values.",
            fix="Give a dict, such as {'C': 0.5}.",
        )


def check_parameters(
    declared: Mapping[str, Parameter] | None, given: Mapping[str, object]
) -> dict[str, object]:
    """Return the given values as the notebook will see them.

    >>> known = {"C": Parameter(name="C", type="float", default_source="1.0")}
    >>> check_parameters(known, {"C": 2})
    {'C': 2}
    """
    refuse_other(given)
    if declared is None and given:
        raise UsageError(
            "Parameters are given, but no cell of the notebook is tagged 'parameters'.",
            fix="Select the cell with the defaults, open JupyterLab's property "
            "inspector (the gears, top right) and add the cell tag `parameters`.",
        )
    declared = declared or {}
    problems: dict[str, str] = {}
    values: dict[str, object] = {}
    for name, value in given.items():
        if name not in declared:
            problems[name] = (
                f"No parameter {name!r}.{did_you_mean(str(name), declared)}"
            )
            continue
        try:
            fit = plain(value)
        except ValueError as error:
            problems[name] = f"Parameter {name!r} is {error}."
            continue
        kind = declared[name].type
        values[name] = fit = tupled(parse(kind), fit)
        if not fits(parse(kind), fit):
            shown = _shorten(repr(mask_tree({name: fit})[name]))
            problems[name] = (
                f"Parameter {name!r} is {shown} ({type(fit).__name__}), not {kind}."
            )
    problems |= {
        name: f"Parameter {name!r} has no default and is not given."
        for name, parameter in declared.items()
        if not parameter.default_source and name not in given
    }
    if problems:
        known = ", ".join(map(str, declared.values())) or "none"
        raise ParametersError(problems, fix=f"The notebook's parameters are: {known}.")
    return values


def parse_text(
    declared: Mapping[str, Parameter] | None, name: str, text: str
) -> object:
    """Return a command line's text as a value of the declared type.

    >>> known = {"C": Parameter(name="C", type="float", default_source="1.0")}
    >>> parse_text(known, "C", "0.5")
    0.5
    """
    if declared is None or name not in declared:
        return text
    kind = parse(declared[name].type)
    for candidate in _readings(text):
        value = tupled(kind, candidate)
        if type(value) is int and wants_float(kind):
            value = float(value)
        if fits(kind, value):
            return value
    return text


def plain(value: object, depth: int = 0) -> object:
    """Return a value made of what JSON knows, and tuples."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested deeper than {_MAX_DEPTH} levels")
    numpy = sys.modules.get("numpy")
    if numpy and isinstance(
        value, numpy.bool_ | numpy.integer | numpy.floating | numpy.str_
    ):
        value = value if isinstance(value, numpy.timedelta64) else value.item()
    if value is None or type(value) in _EXACT or isinstance(value, Secret):
        if isinstance(value, str) and not _is_encodable(value):
            raise ValueError(
                f"{_shorten(repr(value))}, which is not valid Unicode text"
            )
        if isinstance(value, str) and not isinstance(value, Secret):
            return find_reference(value) or value
        if isinstance(value, int) and value.bit_length() > 10_000:
            raise ValueError("an int of more than 10,000 bits")
        return value
    if type(value) in (list, tuple):
        items = [plain(item, depth + 1) for item in value]  # type: ignore[attr-defined]
        return items if type(value) is list else tuple(items)
    if type(value) is dict:
        for key in value:
            if type(key) is not str or not _is_encodable(key):
                raise ValueError(
                    f"a dict with the key {_shorten(repr(key))}, not a str"
                )
        return {key: plain(item, depth + 1) for key, item in value.items()}
    raise ValueError(
        f"a {type(value).__qualname__}, not a bool, int, float, str, None, list, tuple "
        "or dict"
    )


def secrets_by_name(value: object) -> object:
    """Return a value in which a secret is its reference."""
    match value:
        case Secret():
            return value.reference
        case list() | tuple():
            return type(value)(map(secrets_by_name, value))
        case dict():
            return {name: secrets_by_name(each) for name, each in value.items()}
    return value


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _readings(text: str) -> list[object]:
    """Return what a typed text may stand for, the most specific first."""
    readings: list[object] = []
    lowered = text.strip().lower()
    if lowered in ("true", "false"):
        readings.append(lowered == "true")
    for read in (int, float, json.loads, ast.literal_eval):
        try:
            value = read(text)
            plain(value)  # refuses what no parameter may be, such as 1j
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        readings.append(value)
    return [*(value for value in readings if not isinstance(value, str)), text]
