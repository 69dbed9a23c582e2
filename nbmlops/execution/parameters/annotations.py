"""Type annotations as source, and which plain values fit them; nothing is imported."""

from __future__ import annotations

import ast

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


def fits(kind: ast.expr | None, value: object) -> bool:
    """Return whether ``value`` is of the annotated type.

    >>> fits(parse("dict[str, float] | None"), {"C": 1})
    True
    >>> fits(parse("Literal['gini', 'entropy']"), "ginni")
    False
    """
    match kind:
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str(text)):
            return fits(parse(text), value)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return fits(left, value) or fits(right, value)
        case ast.Subscript(value=base, slice=inside):
            return _fits_generic(_last_name(base), inside, value)
    allowed = _TYPES.get(_last_name(kind))
    plain = str if isinstance(value, str) else type(value)  # a Secret is a str
    return allowed is None or plain in allowed


def _fits_generic(base: str, inside: ast.expr, value: object) -> bool:
    inner = inside.elts if isinstance(inside, ast.Tuple) else [inside]
    match base:
        case "Optional":
            return value is None or fits(inside, value)
        case "Union":
            return any(fits(kind, value) for kind in inner)
        case "Annotated" | "Final":
            return fits(inner[0], value)
        case "Literal":
            choices = [literal(choice) for choice in inner]
            return any(type(value) is type(item) and value == item for item in choices)
    if base not in _TYPES:
        return True
    if type(value) not in _TYPES[base]:
        return False
    if isinstance(value, dict):
        return len(inner) != 2 or all(fits(inner[1], v) for v in value.values())
    if not isinstance(value, list | tuple):
        return True
    if base in ("tuple", "Tuple") and _last_name(inner[-1]) != "...":
        return len(inner) == len(value) and all(map(fits, inner, value))
    return all(fits(inner[0], item) for item in value)


def tupled(kind: ast.expr | None, value: object) -> object:
    """Return a value with tuples for those lists that the type does not take.

    YAML and JSON have no tuples.

    >>> tupled(parse("dict[str, tuple[int, ...]]"), {"layers": [50, 50]})
    {'layers': (50, 50)}
    """
    if not isinstance(value, list | tuple | dict) or fits(kind, value):
        return value
    match kind:
        case ast.Constant(value=str(text)):
            found = tupled(parse(text), value)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            found = _tupled_as_one_of([left, right], value)
        case ast.Subscript(value=base, slice=inside):
            found = _tupled_generic(_last_name(base), inside, value)
        case _:
            found = tuple(value) if isinstance(value, list) else value
    return found if fits(kind, found) else value


def _tupled_as_one_of(kinds: list[ast.expr], value: object) -> object:
    found = [tupled(kind, value) for kind in kinds]
    return next((v for k, v in zip(kinds, found, strict=True) if fits(k, v)), value)


def _tupled_generic(
    base: str,
    inside: ast.expr,
    value: list[object] | tuple[object, ...] | dict[str, object],
) -> object:
    inner = inside.elts if isinstance(inside, ast.Tuple) else [inside]
    if base in ("Optional", "Union", "Annotated", "Final"):
        return _tupled_as_one_of(inner, value)
    if isinstance(value, dict):
        return {key: tupled(inner[-1], item) for key, item in value.items()}
    is_row = base in ("tuple", "Tuple") and _last_name(inner[-1]) != "..."
    kinds = inner if is_row else [inner[0]] * len(value)
    if len(kinds) != len(value):
        return value
    items = [tupled(each, item) for each, item in zip(kinds, value, strict=True)]
    return tuple(items) if base in ("tuple", "Tuple") else items


def choices(kind: ast.expr | None) -> list[object] | None:
    """Return the values that a type allows, when it lists them.

    >>> choices(parse("Literal['gini', 'entropy'] | None"))
    ['gini', 'entropy', None]
    """
    match kind:
        case ast.Constant(value=None):
            return [None]
        case ast.Constant(value=str(text)):
            return choices(parse(text))
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _all_choices([left, right])
        case ast.Subscript(value=base, slice=inside):
            inner = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            match _last_name(base):
                case "Literal":
                    return [literal(choice) for choice in inner]
                case "Optional":
                    return _all_choices([inside, ast.Constant(value=None)])
                case "Union":
                    return _all_choices(inner)
                case "Annotated" | "Final":
                    return choices(inner[0])
    return None


def _all_choices(kinds: list[ast.expr]) -> list[object] | None:
    found = [choices(kind) for kind in kinds]
    if any(each is None for each in found):
        return None
    return [value for each in found for value in each or ()]


def _last_name(kind: ast.AST | None) -> str:
    match kind:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Constant(value=value) if value is ...:
            return "..."
    return ""


def wants_float(kind: ast.expr | None) -> bool:
    """Return whether a whole number that was typed stands for a float."""
    names = {_last_name(part) for part in ast.walk(kind)} if kind else set()
    return "float" in names and "int" not in names
