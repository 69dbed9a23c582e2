"""Requests of the Open Inference Protocol V2 over HTTP.

Tensors are JSON; the binary extension is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from nbmlops.errors import UsageError, did_you_mean
from nbmlops.scoring.columns import listing
from nbmlops.scoring.faults import Faults
from nbmlops.scoring.request import (
    Output,
    Table,
    read_object,
    read_text,
    refusal,
    refuse_unknown,
    shown_name,
    shown_value,
)
from nbmlops.scoring.signature import (
    NUMERIC,
    InputSpec,
)

_FIX = (
    'Send {"inputs": [{"name": ..., "shape": [...], "datatype": ..., "data": [...]}]}.'
)
_INPUT_KEYS = ("name", "shape", "datatype", "parameters", "data")
# `model_name` is what the client of KServe sends beside the fields of the protocol.
_KEYS = ("id", "inputs", "outputs", "parameters", "model_name", "model_version")
_REQUEST_CONTENT = ("pd", "np", "str")
_INPUT_CONTENT = ("pd", "np", "str", "datetime", "pd_json")
_WHOLE = {
    **{f"INT{n}": (-(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in (8, 16, 32, 64)},
    **{f"UINT{n}": (0, 2**n - 1) for n in (8, 16, 32, 64)},
}
_LARGEST = {
    "FP16": float(np.finfo(np.float16).max),
    "FP32": float(np.finfo(np.float32).max),
    "FP64": math.inf,
}
DATATYPES = ("BOOL", *_WHOLE, *_LARGEST, "BYTES")


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """What one request asks: rows, an id to answer with, outputs in their order."""

    table: Table
    id: str | None
    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    datatype: str | None
    """None if each value states its own type."""
    values: Sequence[Any]
    """Row by row."""


def read_infer(
    body: bytes,
    content_type: str,
    spec: InputSpec,
    *,
    outputs: Sequence[Output] = ("predictions", "probabilities"),
) -> InferRequest:
    """Return what an infer request asks of a model that has ``outputs``."""
    try:
        _, text = read_text(body, content_type, ("application/json",))
        document = read_object(text, fix=_FIX)
    except UsageError:
        if b'"binary_data_size"' in body:
            raise _no_binary() from None
        raise
    refuse_unknown(document, _KEYS, fix=_FIX)
    request_id = document.get("id")
    if not isinstance(request_id, str | None):
        raise refusal("'id' is not a text.", fix='Send "id": "..." or none.')
    parameters = _parameters(document, "the request", _REQUEST_CONTENT)
    if parameters.get("binary_data_output"):
        raise _no_binary()
    asked = _read_outputs(document.get("outputs"), outputs)
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise refusal("'inputs' is not a list of tensors.", fix=_FIX)
    tensors = [_read_tensor(entry, n) for n, entry in enumerate(inputs)]
    table = _table(tensors, spec, by_name=parameters.get("content_type") == "pd")
    return InferRequest(table=table, id=request_id, outputs=asked)


def _no_binary() -> UsageError:
    return refusal(
        "Binary tensor data is not served.",
        fix="Send and ask for tensors as JSON: `binary_data=False` in your client.",
    )


def _parameters(
    entry: Mapping[str, Any], where: str, content_types: Sequence[str]
) -> Mapping[str, Any]:
    """Return parameters; those that the protocol leaves open are passed over."""
    found = entry.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise refusal(f"'parameters' of {where} is not an object.", fix=_FIX)
    content_type = found.get("content_type")
    if content_type is not None and content_type not in content_types:
        raise refusal(
            f"Content type {shown_value(content_type)} of {where} is not served.",
            fix=f"Send one of {', '.join(content_types)}, or none.",
        )
    return found


def _read_outputs(entries: object, known: Sequence[Output]) -> tuple[Output, ...]:
    if entries is None or entries == []:
        return (known[0],)
    fix = f'Send "outputs": [{{"name": ...}}], of {", ".join(known)}.'
    if not isinstance(entries, list):
        raise refusal("'outputs' is not a list.", fix=fix)
    asked: list[Output] = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise refusal("An output has no name.", fix=fix)
        name = entry["name"]
        refuse_unknown(entry, ("name", "parameters"), where=" in an output", fix=fix)
        where = f"output {shown_name(name)}"
        if _parameters(entry, where, _INPUT_CONTENT).get("binary_data"):
            raise _no_binary()
        found = next((each for each in known if each == name), None)
        if found is None:
            hint = did_you_mean(name[:60], known)
            raise refusal(
                f"Unknown output {shown_name(name)}.{hint}",
                fix=f"The model has {' and '.join(known)}.",
            )
        if found in asked:
            raise refusal(f"Output {name!r} is asked for twice.", fix="Ask once.")
        asked.append(found)
    return tuple(asked)


def _read_tensor(entry: object, position: int) -> _Tensor:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise refusal(f"Input {position} has no name.", fix=_FIX)
    name = shown_name(entry["name"])
    refuse_unknown(entry, _INPUT_KEYS, where=f" in input {name}", fix=_FIX)
    parameters = _parameters(entry, f"input {name}", _INPUT_CONTENT)
    if "binary_data_size" in parameters:
        raise _no_binary()
    shape, datatype, data = (entry.get(k) for k in ("shape", "datatype", "data"))
    if (
        not isinstance(shape, list)
        or len(shape) not in (1, 2)
        or any(type(size) is not int or not 0 <= size < 2**63 for size in shape)
    ):
        raise refusal(
            f"The shape of input {name} is not of one or two whole numbers.",
            fix='Send "shape": [n_rows] or [n_rows, n_columns].',
        )
    if datatype not in DATATYPES:
        hint = did_you_mean(shown_value(datatype), DATATYPES)
        raise refusal(
            f"Input {name} is of datatype {shown_value(datatype)}.{hint}",
            fix=f"Send one of {', '.join(DATATYPES)}.",
        )
    if not isinstance(data, list):
        raise refusal(f"'data' of input {name} is not a list.", fix=_FIX)
    if len(shape) == 2 and len(data) == shape[0] and data and _are_rows(data, shape[1]):
        data = list(chain.from_iterable(data))
    if len(data) != math.prod(shape):
        raise refusal(
            f"Input {name} has {len(data)} values, its shape {shape} has "
            f"{math.prod(shape)}.",
            fix="Send all values, row by row.",
        )
    if not data:
        raise refusal("The request has no rows.", fix="Send at least one row.")
    if parameters.get("content_type") == "pd_json":
        data, datatype = _from_json(data, name), None
    return _Tensor(
        name=entry["name"], shape=tuple(shape), datatype=datatype, values=data
    )


def _are_rows(data: list[Any], width: int) -> bool:
    return all(isinstance(row, list) and len(row) == width for row in data)


def _from_json(values: list[Any], name: str) -> list[Any]:
    """Return values that the client of MLServer writes each as JSON of its own."""
    found = []
    for row, value in enumerate(values):
        try:
            found.append(None if value is None else json.loads(value))
        except (TypeError, ValueError, RecursionError) as error:
            raise refusal(
                f"Row {row} of input {name} is not JSON, as 'pd_json' says.",
                fix="Send each value as JSON of its own, or no content type.",
            ) from error
    return found


def _table(tensors: Sequence[_Tensor], spec: InputSpec, *, by_name: bool) -> Table:
    """Return tensors as a table: one for each column, or one for all of them."""
    names = [column.name for column in spec.columns]
    has_names = spec.kind in ("frame", "dicts")
    fix = f"Send an input of shape [n_rows] for each of {listing(names)}."
    first, width = tensors[0], tensors[0].shape[-1]
    is_table = len(tensors) == 1 and len(first.shape) == 2
    if has_names:
        is_column = width == 1 and (by_name or len(names) > 1 or first.name in names)
        is_table = is_table and not is_column
    if not is_table:
        return _table_of_columns(tensors, names, spec, fix=fix)
    is_numeric = all(column.type in NUMERIC for column in spec.columns)
    if has_names and (width != len(names) or not (is_numeric or width == 1)):
        raise refusal(
            f"Input {shown_name(first.name)} is of {width} columns; the model takes "
            f"{len(names)} by name.",
            fix=fix,
        )
    faults = Faults(width)
    columns = tuple(first.values[i::width] for i in range(width))
    labels = names if len(names) == width else [str(i) for i in range(width)]
    for label, values in zip(labels, columns, strict=True):
        _check(values, first.datatype, label, faults)
    faults.refuse()
    return Table(names=tuple(names) if has_names else None, columns=columns)


def _table_of_columns(
    tensors: Sequence[_Tensor], names: Sequence[str], spec: InputSpec, *, fix: str
) -> Table:
    faults = Faults(len(tensors))
    n_rows = tensors[0].shape[0]
    for tensor in tensors:
        if tensor.shape not in ((n_rows,), (n_rows, 1)):
            raise refusal(
                f"Input {shown_name(tensor.name)} is of shape {list(tensor.shape)}, "
                f"not of {n_rows} rows and one column.",
                fix=fix,
            )
        _check(tensor.values, tensor.datatype, tensor.name, faults)
    faults.refuse()
    if spec.kind in ("frame", "dicts"):
        return Table(
            names=tuple(tensor.name for tensor in tensors),
            columns=tuple(tensor.values for tensor in tensors),
        )
    columns = {tensor.name: tensor.values for tensor in tensors}
    if len(tensors) > 1:  # of an array, whose columns are named by their position
        if len(tensors) != len(names) or columns.keys() != set(names):
            raise refusal("The inputs are not the columns of the model.", fix=fix)
        return Table(names=None, columns=tuple(columns[name] for name in names))
    return Table(names=None, columns=tuple(columns.values()))


def _check(
    values: Sequence[Any], datatype: str | None, column: str, faults: Faults
) -> None:
    """Note values that are not of the datatype they are sent as; a null is a gap."""
    if datatype is None:
        return
    if _all_fit(values, datatype):
        return
    for row, value in enumerate(values):
        if value is not None and not _fits(value, datatype):
            faults.add(
                f"{shown_value(value)} is not {datatype}",
                row=row,
                column=column[:60],
                fix="Send values of the datatype that their input states.",
            )


def _all_fit(values: Sequence[Any], datatype: str) -> bool:
    """Return True if values fit as they mostly do, without a look at each."""
    types = set(map(type, values))
    if datatype in _WHOLE:
        low, high = _WHOLE[datatype]
        return types == {int} and low <= min(values) and max(values) <= high
    if datatype == "FP64":
        return types <= {float, int, type(None)}
    if datatype in _LARGEST:
        return types <= {float, int} and max(map(abs, values)) <= _LARGEST[datatype]
    return types <= {str if datatype == "BYTES" else bool, type(None)}


def _fits(value: object, datatype: str) -> bool:
    if datatype == "BOOL":
        return type(value) is bool
    if datatype == "BYTES":
        return type(value) is str
    if type(value) not in (int, float):
        return False
    number: Any = value
    if datatype in _WHOLE:
        low, high = _WHOLE[datatype]
        return bool(low <= number <= high and number % 1 == 0)
    # What is not finite is refused by the column, a gap taken.
    is_finite = type(number) is int or math.isfinite(number)
    return not is_finite or abs(number) <= _LARGEST[datatype]
