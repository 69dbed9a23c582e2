"""Answers of the Open Inference Protocol V2, and the metadata of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from nbmlops.scoring.answer import plain
from nbmlops.scoring.payload import strict_json
from nbmlops.scoring.request import Output
from nbmlops.scoring.signature import InputSpec, read_input_spec, read_signature

_NUMBERS = (((bool, np.bool_), "BOOL"), (Integral, "INT64"), (Real, "FP64"))
"""Of objects that are all of one of these types, their datatype."""
_ANY_FLAVOR = "python_function"
_DATATYPE_OF = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
}
"""Of MLflow's types; what is not here is text."""


def write_infer(
    outputs: Mapping[Output, object],
    *,
    model_name: str,
    model_version: str,
    request_id: str | None = None,
    classes: object = None,
) -> bytes:
    """Return the answer to an infer request; ``classes`` are those of probabilities."""
    tensors = [_write_tensor(name, values) for name, values in outputs.items()]
    for tensor in tensors:
        if tensor["name"] == "probabilities" and classes is not None:
            tensor["parameters"] = {"classes": classes}
    answer: dict[str, object] = {
        "model_name": model_name,
        "model_version": model_version,
    }
    if request_id is not None:
        answer["id"] = request_id
    return strict_json({**answer, "outputs": tensors}, default=plain).encode()


def _write_tensor(name: str, values: Any) -> dict[str, object]:  # noqa: ANN401
    array = _as_array(values)
    tensor: dict[str, object] = {"name": name, "shape": list(array.shape)}
    kind = array.dtype.kind
    if kind == "b":
        return {**tensor, "datatype": "BOOL", "data": array.ravel().tolist()}
    if kind in "iuf":
        sign = {"i": "INT", "u": "UINT", "f": "FP"}[kind]
        array = array.astype(float) if array.dtype.itemsize > 8 else array
        bits = 8 * array.dtype.itemsize
        data: list[Any] = array.ravel().tolist()
        return {**tensor, "datatype": f"{sign}{bits}", "data": data}
    if kind == "M":
        data = [None if np.isnat(each) else str(each) for each in array.ravel()]
        return {**tensor, **_texts(data, "datetime")}
    data = [None if _is_gap(each) else each for each in array.ravel().tolist()]
    present = [each for each in data if each is not None]
    for number, datatype in _NUMBERS:
        if present and all(isinstance(each, number) for each in present):
            return {**tensor, "datatype": datatype, "data": data}
    return {**tensor, **_texts([_text(each) for each in data], "str")}


def _texts(data: list[str | None], content_type: str) -> dict[str, object]:
    parameters = {"content_type": content_type}
    return {"datatype": "BYTES", "data": data, "parameters": parameters}


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    found = plain(value)
    return found if isinstance(found, str) else strict_json(found, default=plain)


def _is_gap(value: object) -> bool:
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or value is pd.NA or value is pd.NaT or is_nan


def _as_array(values: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401
    values = values.toarray() if hasattr(values, "toarray") else values
    try:
        return np.asarray(values)
    except ValueError:  # lists of different lengths
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array


def model_metadata(
    document: Mapping[str, Any],
    *,
    name: str,
    versions: Sequence[int],
    classes: Sequence[object] = (),
) -> dict[str, object]:
    """Return the metadata of a model, by its ``MLmodel``.

    ``classes`` are those of its probabilities, if it gives any.
    """
    spec, signature = read_input_spec(document), read_signature(document)
    answers = signature.outputs if signature else ()
    outputs = []
    if answers:
        datatype = _DATATYPE_OF.get(answers[0].type, "BYTES")
        shape = [-1] if len(answers) == 1 else [-1, len(answers)]
        outputs.append({"name": "predictions", "datatype": datatype, "shape": shape})
    if len(classes):
        shape = [-1, len(classes)]
        outputs.append({"name": "probabilities", "datatype": "FP64", "shape": shape})
    flavors = [each for each in document.get("flavors") or () if each != _ANY_FLAVOR]
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": f"mlflow_{flavors[0]}" if flavors else "mlflow",
        "inputs": _inputs(spec),
        "outputs": outputs,
    }


def _inputs(spec: InputSpec) -> list[dict[str, object]]:
    datatypes = [_DATATYPE_OF.get(column.type, "BYTES") for column in spec.columns]
    if spec.kind in ("array", "sparse") and len(set(datatypes)) == 1:
        shape = [-1, len(datatypes)]
        return [{"name": "input", "datatype": datatypes[0], "shape": shape}]
    return [
        {"name": column.name, "datatype": datatype, "shape": [-1]}
        for column, datatype in zip(spec.columns, datatypes, strict=True)
    ]
