"""What a model takes and answers, as its ``MLmodel`` states it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from nbmlops.entities import Column, Signature
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.scoring.ranges import Range, read_ranges

RowKind = Literal["frame", "series", "vector", "array", "sparse", "dicts"]
"""What rows are to a model: a DataFrame, a Series, an array of one or two dimensions, a
sparse matrix, or a list of dicts."""

UnseenValue = Literal["warn", "refuse"]
"""What becomes of a value that training did not have: counted, or refused."""

KIND = "nbmlops.rows"
DTYPES = "nbmlops.dtypes"
RANGES = "nbmlops.ranges"
REQUIRED = "nbmlops.required"
NOT_SERVED = "nbmlops.not_served"

_LOG_AGAIN = "Log the model with rows it takes: run.log_model(model, X)."
_TENSOR_TYPES = {
    dtype: type_name
    for type_name, dtypes in (
        ("boolean", "bool"),
        ("double", "float64"),
        ("float", "float16 float32"),
        ("integer", "int8 int16 int32 uint8 uint16"),
        ("long", "int64 uint32 uint64"),
        ("string", "object str"),
    )
    for dtype in dtypes.split()
}
_SCALARS = frozenset(
    ("any", "boolean", "integer", "long", "float", "double", "string", "datetime")
)
NUMERIC = frozenset(("integer", "long", "float", "double"))
_MOST_LISTED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """What a model takes.

    An endpoint's settings replace ``unseen_category`` and ``out_of_range``.
    """

    kind: RowKind
    columns: tuple[Column, ...]
    dtypes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    unseen_category: UnseenValue = "warn"
    out_of_range: UnseenValue = "warn"

    @property
    def is_flat(self) -> bool:
        """Whether a row is one value."""
        return self.kind in ("series", "vector")

    @property
    def has_open_keys(self) -> bool:
        """Whether rows are dicts whose keys vary, so that others may come."""
        return self.kind == "dicts" and not all(c.is_required for c in self.columns)


def read_mlmodel(folder: Path) -> dict[str, Any]:
    """Return the content of a model folder's ``MLmodel``."""
    path = folder / "MLmodel"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(path.read_bytes(), loader)  # noqa: S506 - a safe loader
    except FileNotFoundError as error:
        raise NotFoundError(
            f"No model in {folder}: the file MLmodel is missing.",
            fix="Give the folder that a model was logged or downloaded to.",
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}.", fix="Log the model again."
        ) from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} is not a table.", fix="Log the model again.")
    return document


def read_signature(document: Mapping[str, Any]) -> Signature | None:
    """Return the signature an ``MLmodel`` states, or None.

    >>> inputs = '[{"type": "double", "name": "Age", "required": false}]'
    >>> read_signature({"signature": {"inputs": inputs}}).inputs
    (Column(name='Age', type='double', is_required=False),)
    """
    stated = document.get("signature")
    if not stated:
        return None
    inputs, outputs = (
        json.loads(stated.get(side) or "[]") for side in ("inputs", "outputs")
    )
    answers = [replace(column, is_required=True) for column in _columns(outputs)]
    if len(outputs) == 1 and not outputs[0].get("name") and len(_shape(outputs[0])) < 2:
        answers = [Column(name="", type=answers[0].type)]
    return Signature(inputs=_listed(_columns(inputs)), outputs=_listed(answers))


def read_input_spec(document: Mapping[str, Any]) -> InputSpec:
    """Return what a model takes, by its ``MLmodel``."""
    stated = document.get("signature") or {}
    metadata = document.get("metadata") or {}
    if reason := metadata.get(NOT_SERVED):
        raise UsageError(str(reason), fix=_LOG_AGAIN)
    if not stated.get("inputs"):
        raise UsageError("The model has no signature.", fix=_LOG_AGAIN)
    try:
        specs = json.loads(stated["inputs"])
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The model's signature cannot be read: {error}.", fix=_LOG_AGAIN
        ) from error
    kind = _kind(specs, document)
    for spec in specs:
        shape = _shape(spec)
        widest = 1 if spec.get("name") else math.inf
        is_table = len(shape) < 2 or (len(shape) == 2 and 1 <= shape[1] <= widest)
        if spec["type"] == "tensor" and (not shape or not is_table):
            raise UsageError(
                f"The model takes arrays of shape {tuple(shape)}.",
                fix="An endpoint serves models that take a table: rows and columns.",
            )
    columns = _columns(specs)
    if kind not in ("frame", "dicts"):  # a signature says nothing of an array's gaps
        is_required = bool(metadata.get(REQUIRED, False))
        columns = [replace(column, is_required=is_required) for column in columns]
    for column in columns:
        if column.type not in _SCALARS:
            raise UsageError(
                f"Column {column.name!r} is of type {column.type!r}, which an "
                "endpoint cannot read.",
                fix=f"Use one of {', '.join(sorted(_SCALARS))}.",
            )
    dtypes = metadata.get(DTYPES) or {}
    numeric = {column.name for column in columns if column.type in NUMERIC}
    ranges = {
        name: ends
        for name, ends in read_ranges(metadata.get(RANGES)).items()
        if name in numeric
    }
    return InputSpec(kind=kind, columns=tuple(columns), dtypes=dtypes, ranges=ranges)


def _kind(specs: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> RowKind:
    stated: Any = (document.get("metadata") or {}).get(KIND)
    if stated in get_args(RowKind):
        return stated  # type: ignore[no-any-return]
    example = document.get("saved_input_example_info") or {}
    if str(example.get("type")).startswith("sparse_matrix"):
        return "sparse"
    if any(spec.get("name") for spec in specs):
        return "frame"
    return "vector" if len(specs) == 1 and len(_shape(specs[0])) == 1 else "array"


def _columns(specs: Sequence[Mapping[str, Any]]) -> list[Column]:
    found: list[Column] = []
    for spec in specs:
        shape, name, type_name = _shape(spec), spec.get("name"), _type_name(spec)
        required = bool(spec.get("required", not spec.get("optional", False)))
        if spec["type"] == "tensor":  # which does not say whether gaps are taken
            required = False
        width = shape[1] if len(shape) == 2 and shape[1] > 0 else 1
        names = [name]
        if name is None or width > 1:
            names = [*range(len(found), len(found) + width)]
        found += [
            Column(name=str(each), type=type_name, is_required=required)
            for each in names
        ]
    return found


def _listed(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns as they are listed: those of a very wide array as one."""
    ends = ("0", str(len(columns) - 1))
    is_wide = len(columns) > _MOST_LISTED
    if is_wide and (columns[0].name, columns[-1].name) == ends:
        return (replace(columns[0], name=" to ".join(ends)),)
    return tuple(columns)


def _shape(spec: Mapping[str, Any]) -> list[int]:
    return list(spec["tensor-spec"]["shape"]) if spec["type"] == "tensor" else []


def _type_name(spec: Mapping[str, Any]) -> str:
    if spec["type"] != "tensor":
        return str(spec["type"])
    dtype = str(spec["tensor-spec"]["dtype"])
    is_time = dtype.startswith("datetime64")
    return "datetime" if is_time else _TENSOR_TYPES.get(dtype, dtype)
