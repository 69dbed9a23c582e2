"""The routes as OpenAPI 3.1, their schemas made from the nouns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from importlib.metadata import version
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nbmlops.entities import Page
from nbmlops.entities.metric import Metric
from nbmlops.server._request import DEFAULT_LIMIT, MAX_LIMIT, Request
from nbmlops.server._route import ROUTES, Route, route

_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "limit": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_LIMIT,
        "default": DEFAULT_LIMIT,
    },
    "with_model": {"type": "boolean", "default": False},
    "all": {"type": "boolean", "default": False},
}
_METRIC = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_METRIC_REF = {"$ref": "#/components/schemas/Metric"}
_PLAIN: Mapping[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: {"type": "number"},
    Metric: _METRIC_REF,
    NoneType: {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    Any: {},
}
_ERROR = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("error", "message", "fix")},
        "fields": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["error", "message", "fix"],
}


@route("GET", "openapi.json", answers=None)
def describe(request: Request) -> dict[str, object]:
    """Describe the routes, as OpenAPI 3.1."""
    schemas: dict[str, Any] = {"Error": _ERROR, "Metric": _METRIC}
    paths: dict[str, dict[str, Any]] = {}
    for each in ROUTES:
        operations = paths.setdefault(f"/{each.path}", {})
        operations[each.method.lower()] = _operation(each, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "nbmlops", "version": version("nbmlops")},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", route.path)
    parameters = [_parameter(name, "path") for name in names]
    parameters += [_parameter(name, "query") for name in ("path", *route.query)]
    answer: dict[str, Any] = {"description": route.summary}
    if route.answers is not None:
        answer["content"] = _json(_schema(route.answers, schemas))
    failure = {
        "description": "What is wrong, and how to fix it.",
        "content": _json({"$ref": "#/components/schemas/Error"}),
    }
    operation: dict[str, Any] = {
        "summary": route.summary,
        "parameters": parameters,
        "responses": {str(route.status): answer, "default": failure},
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": _json(_object(route.body, schemas)),
        }
    return operation


def _parameter(name: str, place: str) -> dict[str, Any]:
    schema = _PARAMETERS.get(name, _PLAIN[str])
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _object(hints: Mapping[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: _schema(hint, schemas) for name, hint in hints.items()},
        "required": [n for n, hint in hints.items() if NoneType not in get_args(hint)],
    }


def _schema(hint: Any, schemas: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (UnionType, Union):
        return {"anyOf": [_schema(kind, schemas) for kind in arguments]}
    if origin is Page:
        items = {"type": "array", "items": _schema(arguments[0], schemas)}
        token = {"anyOf": [_PLAIN[str], _PLAIN[NoneType]]}
        properties = {"items": items, "next_page_token": token}
        return {"type": "object", "properties": properties, "required": [*properties]}
    if origin is tuple and arguments[-1] is not Ellipsis:
        parts, n = [_schema(kind, schemas) for kind in arguments], len(arguments)
        return {"type": "array", "prefixItems": parts, "minItems": n, "maxItems": n}
    if origin in (tuple, list):
        return {"type": "array", "items": _schema(arguments[0], schemas)}
    if origin is not None:
        is_metric = arguments[1] is float
        values = _METRIC_REF if is_metric else _schema(arguments[1], schemas)
        return {"type": "object", "additionalProperties": values}
    if not (isinstance(hint, type) and is_dataclass(hint)):
        raise TypeError(f"{hint!r} has no place in the description.")
    if hint.__name__ not in schemas:
        hints = get_type_hints(hint, include_extras=True)
        noun = _object({f.name: hints[f.name] for f in fields(hint)}, schemas)
        schemas[hint.__name__] = noun | {"required": [f.name for f in fields(hint)]}
    return {"$ref": f"#/components/schemas/{hint.__name__}"}
