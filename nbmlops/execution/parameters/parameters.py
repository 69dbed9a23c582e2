"""What a notebook's parameters may be, and whether given values are that."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from nbmlops._masking import mask, mask_tree
from nbmlops.errors import UsageError, did_you_mean
from nbmlops.execution.parameters.annotations import fits, parse, tupled, wants_float
from nbmlops.secrets import Secret, find_reference

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
            readings.append(read(text))
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return [*(value for value in readings if not isinstance(value, str)), text]
