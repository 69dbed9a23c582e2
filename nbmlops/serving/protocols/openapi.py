"""An endpoint's routes as OpenAPI 3.1, with the columns of its model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from nbmlops.entities import Column
from nbmlops.scoring.v2 import DATATYPES
from nbmlops.serving.model import ServedModel

Schema = dict[str, Any]
_TYPES = {
    "boolean": "boolean",
    "integer": "number",
    "long": "number",
    "float": "number",
    "double": "number",
    "string": "string",
    "datetime": "string",
}
_TEXT: Schema = {"type": "string"}
_NAMED: Schema = {
    "type": "object",
    "properties": {"name": _TEXT, "parameters": {"type": ["object", "null"]}},
    "required": ["name"],
}
_ERROR: Schema = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("error", "message", "fix"), _TEXT),
        "faults": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["error", "message", "fix"],
}
_SCORED = {
    "400": "What is wrong with it, and where.",
    "413": "It is too large.",
    "415": "It is of another content type, or compressed.",
    "500": "The model failed.",
    "503": "The endpoint is busy; retry-after says when to come back.",
    "504": "The model took too long.",
}
_NOT_EXPLAINED = {
    "400": "It was refused, or the model cannot be explained.",
    "404": "It is not in the log, or the version's files are gone.",
    "501": "The extra explain is not installed.",
    "502": "The model failed, or took too long.",
    "503": "Others are being explained; retry-after says when to come back.",
}
_REFUSED = {"401": "The token is missing or wrong.", "403": "It comes from elsewhere."}


def describe(
    model: ServedModel, *, base: str, has_token: bool, explains: bool = False
) -> Schema:
    """Return the document of an endpoint below the path ``base``."""
    security: list[Schema] = [{"token": []}] if has_token else []
    paths = {path: {method: what} for path, method, what in _operations(model)}
    if explains:
        paths["/explain/{request_id}"] = {"get": _explain()}
    return {
        "openapi": "3.1.0",
        "info": {"title": model.name, "version": str(model.version)},
        "servers": [{"url": base}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR},
        },
        "security": security,
    }


def _operations(model: ServedModel) -> Iterator[tuple[str, str, Schema]]:
    yield "/invocations", "post", _post(_invocations(model), _answer(model))
    for path in ("/ping", "/health"):
        yield path, "get", _get({"application/json": {}})
    yield "/version", "get", _get({"application/json": {}})
    yield "/metrics", "get", _get({"text/plain": {"schema": _TEXT}})
    yield "/openapi.json", "get", _get(_json({"type": "object"}))
    labels = {"type": "object", "required": ["request_id", "label"]}
    feedback = _post(_json(labels), _json({"type": "object"}), status="202")
    yield "/feedback", "post", feedback
    named = f"/v2/models/{quote(model.name, safe='')}"
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", named, f"{named}/ready"):
        yield path, "get", _get(_json({"type": "object"}))
    yield f"{named}/infer", "post", _post(_json(_infer()), _json(_inferred()))


def _get(content: Schema) -> Schema:
    return {
        "responses": {"200": {"description": "OK", "content": content}, **_errors()}
    }


def _explain() -> Schema:
    request_id = {"name": "request_id", "in": "path", "required": True, "schema": _TEXT}
    answered = {"description": "OK", "content": _json({"type": "object"})}
    return {
        "parameters": [request_id],
        "responses": {"200": answered, **_errors(_NOT_EXPLAINED)},
    }


def _post(asked: Schema, answer: Schema, *, status: str = "200") -> Schema:
    answered = {status: {"description": "OK", "content": answer}}
    return {
        "requestBody": {"required": True, "content": asked},
        "responses": {**answered, **_errors(_SCORED)},
    }


def _errors(more: dict[str, str] | None = None) -> Schema:
    content = _json({"$ref": "#/components/schemas/Error"})
    return {
        status: {"description": why, "content": content}
        for status, why in {**(more or {}), **_REFUSED}.items()
    }


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _list(items: Schema, **more: object) -> Schema:
    return {"type": "array", "items": items, **more}


def _value(column: Column) -> Schema:
    if column.type not in _TYPES:
        return {}
    kind = _TYPES[column.type]
    return {"type": kind if column.is_required else [kind, "null"]}


def _invocations(model: ServedModel) -> Schema:
    columns = model.spec.columns
    names = [column.name for column in columns]
    row: Schema = {
        "type": "object",
        "properties": {column.name: _value(column) for column in columns},
        "required": [column.name for column in columns if column.is_required],
        "additionalProperties": False,
    }
    if model.spec.kind in ("frame", "dicts"):
        rows = _list(row, minItems=1)
        split = {
            "type": "object",
            "properties": {
                "columns": _list({"enum": names}),
                "data": _list(_list({}), minItems=1),
                "index": _list({}),
            },
            "required": ["columns", "data"],
        }
        layouts = {
            "dataframe_split": split,
            "dataframe_records": rows,
            "instances": rows,
            "inputs": rows,
        }
    else:
        layouts = {name: _list({}, minItems=1) for name in ("instances", "inputs")}
    params = {"type": "object", "properties": {"output": {"enum": ["predictions"]}}}
    if model.predict_proba is not None:
        params["properties"]["output"]["enum"].append("probabilities")  # type: ignore[index]
    bodies = [
        {
            "type": "object",
            "properties": {layout: schema, "params": params},
            "required": [layout],
            "additionalProperties": False,
        }
        for layout, schema in layouts.items()
    ]
    return {**_json({"oneOf": bodies}), "text/csv": {"schema": _TEXT}}


def _answer(model: ServedModel) -> Schema:
    properties = {"predictions": _list({})}
    if model.predict_proba is not None:
        properties["classes"] = _list({})
    required = ["predictions"]
    return _json({"type": "object", "properties": properties, "required": required})


def _tensor() -> Schema:
    return {
        "type": "object",
        "properties": {
            **_NAMED["properties"],
            "shape": _list({"type": "integer", "minimum": 0}, minItems=1, maxItems=2),
            "datatype": {"enum": list(DATATYPES)},
            "data": _list({}),
        },
        "required": ["name", "shape", "datatype", "data"],
    }


def _infer() -> Schema:
    return {
        "type": "object",
        "properties": {
            "id": {"type": ["string", "null"]},
            "parameters": {"type": ["object", "null"]},
            "inputs": _list(_tensor(), minItems=1),
            "outputs": _list(_NAMED),
        },
        "required": ["inputs"],
    }


def _inferred() -> Schema:
    return {
        "type": "object",
        "properties": {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "id": _TEXT,
            "outputs": _list(_tensor()),
        },
        "required": ["model_name", "model_version", "outputs"],
    }
