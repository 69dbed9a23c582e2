"""A notebook's typed parameters as the fields of a form, whose values are texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nbmlops._masking import mask
from nbmlops.pipeline.annotations import choices, parse
from nbmlops.pipeline.parameters import Parameter

FieldKind = Literal["text", "integer", "number", "checkbox", "select", "value"]
_KINDS: Mapping[str, FieldKind] = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "checkbox",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterField:
    """How a parameter is asked for.

    Attributes
    ----------
    name : str
        The parameter.
    type : str
        Its annotation, else the type of its default; may be "".
    kind : FieldKind
        What it is given by; ``value`` for what is typed as on a command line.
    default : str
        Its default as it is typed; "" where there is none, or none that can be typed.
    default_source : str
        Its default as the notebook writes it; "" when it has to be given.
    choices : tuple of str
        What a ``select`` allows, as it is typed.
    help : str
        What the notebook says of it; may be "".
    is_required : bool
        Whether it has to be given.
    """

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

    Parameters
    ----------
    declared : Mapping of str to Parameter or None
        What the parameters cell declares; None when the notebook has no such cell.

    Examples
    --------
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

    Examples
    --------
    >>> typed((50, 50)), typed(None), typed(True), typed("gini")
    ('[50, 50]', 'null', 'true', 'gini')
    """
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return repr(value)
