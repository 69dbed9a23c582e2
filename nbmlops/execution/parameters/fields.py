"""A notebook's typed parameters as the fields of a form, whose values are texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nbmlops._masking import mask
from nbmlops.execution.parameters.annotations import choices, parse
from nbmlops.execution.parameters.parameters import Parameter

FieldKind = Literal["text", "integer", "number", "checkbox", "select", "value"]
_KINDS: Mapping[str, FieldKind] = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "checkbox",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterField:
    """How a parameter is asked for."""

    name: str
    type: str
    kind: FieldKind
    default: str
    default_source: str
    choices: tuple[str, ...]
    help: str
    is_required: bool


def fields_of(declared: Mapping[str, Parameter] | None) -> tuple[ParameterField, ...]:
    """Return a field for each of a notebook's parameters, in its order.

    >>> C = Parameter(name="C", type="float", default=1.0, default_source="1.0",
    ...               is_literal=True)
    >>> [field.kind for field in fields_of({"C": C})]
    ['number']
    """
    return tuple(_field(each) for each in (declared or {}).values())


def _field(parameter: Parameter) -> ParameterField:
    allowed = choices(parse(parameter.type))
    kind: FieldKind = _KINDS.get(parameter.type, "value")
    if allowed is not None:
        kind = "select"
    source = parameter.default_source
    # A default that looks like a secret is neither shown nor sent back.
    line = f"{parameter.name} = {source}"
    shown = mask(line)
    is_told = parameter.is_literal and shown == line
    return ParameterField(
        name=parameter.name,
        type=parameter.type,
        kind=kind,
        default=typed(parameter.default) if is_told else "",
        default_source=shown.partition(" = ")[2],
        choices=tuple(typed(value) for value in allowed or ()),
        help=parameter.help,
        is_required=not source,
    )


def typed(value: object) -> str:
    """Return a value as it is typed: text as it is, all else as JSON where that can.

    >>> typed((50, 50)), typed(None), typed(True), typed("gini")
    ('[50, 50]', 'null', 'true', 'gini')
    """
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return repr(value)
