"""The signature of a model folder, as MLflow wrote it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nbmlops.entities import Column, Signature
from nbmlops.errors import UsageError

_LOG_ANEW = "Log the model with rows it takes: run.log_model(model, X)."
_TENSOR_TYPES = {"f": "double", "i": "long", "u": "long", "b": "boolean"}
_SCALARS = frozenset(
    ("any", "boolean", "integer", "long", "float", "double", "string", "datetime")
)


def read_model_file(folder: Path) -> dict[str, Any]:
    """Return the content of a model folder's ``MLmodel``.

    Parameters
    ----------
    folder : Path
        The folder that holds ``MLmodel``.

    Returns
    -------
    dict
        Its fields.

    Raises
    ------
    UsageError
        It is missing or not YAML.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load((folder / "MLmodel").read_bytes(), loader)  # noqa: S506 - a safe loader
    except (OSError, yaml.YAMLError) as error:
        raise UsageError("The model has no readable MLmodel.", fix=_LOG_ANEW) from error
    if not isinstance(document, dict):
        raise UsageError("The model's MLmodel is not a table.", fix=_LOG_ANEW)
    return document


def read_signature(document: Mapping[str, Any]) -> tuple[Signature, bool]:
    """Return the signature an ``MLmodel`` states, and whether rows are scalars.

    Parameters
    ----------
    document : Mapping
        The content of ``MLmodel``.

    Returns
    -------
    tuple of Signature and bool
        A tensor of n columns becomes n unnamed columns. The second is True when the
        model takes an array of one dimension.

    Raises
    ------
    UsageError
        There is no signature, or an endpoint cannot read what it asks for.

    Examples
    --------
    >>> inputs = '[{"type": "double", "name": "Age", "required": false}]'
    >>> read_signature({"signature": {"inputs": inputs}})[0].inputs
    (Column(name='Age', type='double', is_required=False),)
    """
    stated = document.get("signature") or {}
    if not stated.get("inputs"):
        raise UsageError("The model has no signature.", fix=_LOG_ANEW)
    specs = json.loads(stated["inputs"])
    inputs = tuple(column for spec in specs for column in _columns(spec))
    for column in inputs:
        if column.type not in _SCALARS:
            raise UsageError(
                f"Column {column.name!r} is of type {column.type!r}, which an "
                "endpoint cannot read.",
                fix=f"Use one of {', '.join(sorted(_SCALARS))}.",
            )
    outputs = tuple(
        Column(name=spec.get("name", ""), type=_type_name(spec))
        for spec in json.loads(stated.get("outputs") or "[]")
    )
    is_flat = (
        len(specs) == 1 and not specs[0].get("name") and len(_shape(specs[0])) == 1
    )
    return Signature(inputs=inputs, outputs=outputs), is_flat


def _columns(spec: Mapping[str, Any]) -> list[Column]:
    name, shape = spec.get("name", ""), _shape(spec)
    required = bool(spec.get("required", True))
    if spec["type"] != "tensor":
        return [Column(name=name, type=_type_name(spec), is_required=required)]
    width = shape[1] if len(shape) == 2 else 1
    if len(shape) not in (1, 2) or width < 1 or (name and width != 1):
        raise UsageError(
            f"The model takes arrays of shape {tuple(shape)}.",
            fix="An endpoint serves models that take a table: rows and columns.",
        )
    # A tensor does not say whether values may be missing: the model decides.
    return [Column(name=name, type=_type_name(spec), is_required=False)] * width


def _shape(spec: Mapping[str, Any]) -> list[int]:
    return list(spec["tensor-spec"]["shape"]) if spec["type"] == "tensor" else [-1, 1]


def _type_name(spec: Mapping[str, Any]) -> str:
    if spec["type"] != "tensor":
        return str(spec["type"])
    dtype = str(spec["tensor-spec"]["dtype"])
    if dtype in ("str", "object"):
        return "string"
    return _TENSOR_TYPES.get(dtype[:1], dtype)
