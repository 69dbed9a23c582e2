"""Type annotations as source, and which plain values fit them; nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Sequence

_TYPES: dict[str, tuple[type, ...]] = {
    "None": (type(None),),
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "list": (list,),
    "List": (list,),
    "Sequence": (list, tuple),
    "Iterable": (list, tuple),
    "tuple": (tuple,),
    "Tuple": (tuple,),
    "dict": (dict,),
    "Dict": (dict,),
    "Mapping": (dict,),
    "bytes": (),
    "complex": (),
    "frozenset": (),
    "set": (),
}


def literal(expression: ast.expr) -> object:
    """Return the value of a literal."""
    try:
        return ast.literal_eval(expression)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ...


def parse(annotation: str) -> ast.expr | None:
    """Return an annotation as syntax."""
    if not annotation:
        return None
    try:
        return ast.parse(annotation, mode="eval").body
    except SyntaxError:
        return None


def _members(kind: ast.expr | None) -> list[ast.expr | None]:
    """Return the types that a union is of, or the type itself; None is any type."""
    match kind:
        case ast.Constant(value=str(text)):
            return _members(parse(text))
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return [*_members(left), *_members(right)]
        case ast.Subscript(value=base, slice=inside):
            match _last_name(base):
                case "Optional":
                    return [*_members(inside), ast.Constant(value=None)]
                case "Union":
                    return [m for each in _arguments(inside) for m in _members(each)]
                case "Annotated" | "Final":
                    return _members(_arguments(inside)[0])
    return [kind]


def _arguments(inside: ast.expr) -> list[ast.expr]:
    return inside.elts if isinstance(inside, ast.Tuple) else [inside]


def _items(base: str, inner: list[ast.expr], value: Sequence[object]) -> list[ast.expr]:
    """Return the type of each item of a value; of other length when it cannot be."""
    if base in ("tuple", "Tuple") and _last_name(inner[-1]) != "...":
        return inner
    return [inner[0]] * len(value)


def fits(kind: ast.expr | None, value: object) -> bool:
    """Return whether ``value`` is of the annotated type.

    >>> fits(parse("dict[str, float] | None"), {"C": 1})
    True
    >>> fits(parse("Literal['gini', 'entropy']"), "ginni")
    False
    """
    return any(_fits_member(each, value) for each in _members(kind))


def _fits_member(kind: ast.expr | None, value: object) -> bool:
    plain = str if isinstance(value, str) else type(value)  # a Secret is a str
    match kind:
        case ast.Constant(value=None):
            return value is None
        case ast.Subscript(value=base, slice=inside):
            name, inner = _last_name(base), _arguments(inside)
        case _:
            return plain in _TYPES.get(_last_name(kind), (plain,))
    if name == "Literal":
        allowed = map(literal, inner)
        return any(type(value) is type(item) and value == item for item in allowed)
    if plain not in _TYPES.get(name, (plain,)):
        return False
    if name not in _TYPES or isinstance(value, str):
        return True
    if isinstance(value, dict):
        return len(inner) != 2 or all(fits(inner[1], v) for v in value.values())
    if not isinstance(value, list | tuple):
        return True
    kinds = _items(name, inner, value)
    return len(kinds) == len(value) and all(map(fits, kinds, value))


def tupled(kind: ast.expr | None, value: object) -> object:
    """Return a value with tuples for those lists that the type does not take.

    YAML and JSON have no tuples.

    >>> tupled(parse("dict[str, tuple[int, ...]]"), {"layers": [50, 50]})
    {'layers': (50, 50)}
    """
    if not isinstance(value, list | tuple | dict) or fits(kind, value):
        return value
    found = ((each, _tupled_member(each, value)) for each in _members(kind))
    return next((v for each, v in found if _fits_member(each, v)), value)


def _tupled_member(
    kind: ast.expr | None,
    value: list[object] | tuple[object, ...] | dict[str, object],
) -> object:
    if not isinstance(kind, ast.Subscript):
        return tuple(value) if isinstance(value, list) else value
    name, inner = _last_name(kind.value), _arguments(kind.slice)
    if isinstance(value, dict):
        return {key: tupled(inner[-1], item) for key, item in value.items()}
    kinds = _items(name, inner, value)
    if len(kinds) != len(value):
        return value
    items = map(tupled, kinds, value)
    return tuple(items) if name in ("tuple", "Tuple") else list(items)


def choices(kind: ast.expr | None) -> list[object] | None:
    """Return the values that a type allows, when it lists them.

    >>> choices(parse("Literal['gini', 'entropy'] | None"))
    ['gini', 'entropy', None]
    """
    found: list[object] = []
    for each in _members(kind):
        match each:
            case ast.Constant(value=None):
                found.append(None)
            case ast.Subscript(value=base, slice=inside) if (
                _last_name(base) == "Literal"
            ):
                found += map(literal, _arguments(inside))
            case _:
                return None
    return found


def _last_name(kind: ast.AST | None) -> str:
    match kind:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Constant(value=value) if value is ...:
            return "..."
    return ""


def wants_float(kind: ast.expr | None) -> bool:
    """Return whether a whole number that was typed means a float."""
    names = {_last_name(part) for part in ast.walk(kind)} if kind else set()
    return "float" in names and "int" not in names
