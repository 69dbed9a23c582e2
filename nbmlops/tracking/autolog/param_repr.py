"""Params of estimators as short texts, which keep no data and run no user's code."""

from __future__ import annotations

import csv
import inspect
import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

MAX_ITEMS = 50
"""Items of a list that are written; of more, only their number."""

MAX_PARAMS = 300
_MAX_TEXT = 10_000
_MAX_DEPTH = 6


def brief(value: Any, depth: int = 0) -> str:  # noqa: ANN401 - a param is anything
    """Return a value of a param as a text.

    >>> brief({"C": [0.1, 1], "kernel": "rbf"})
    "{'C': [0.1, 1], 'kernel': 'rbf'}"
    """
    if isinstance(value, str):
        return (repr(value) if depth else value)[:_MAX_TEXT]
    if value is None or isinstance(value, bool | int | float | complex | range | slice):
        return str(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, FunctionType | MethodType | BuiltinFunctionType):
        return value.__qualname__
    if isinstance(value, list | tuple | set | frozenset | Mapping):
        return _container(value, depth)
    return _object(value, depth)


def _container(value: Any, depth: int) -> str:  # noqa: ANN401
    kind = type(value).__name__
    if depth == _MAX_DEPTH or len(value) > MAX_ITEMS:
        return f"{kind} of {len(value)} items"
    if isinstance(value, Mapping):
        pairs = [
            f"{brief(k, depth + 1)}: {brief(v, depth + 1)}" for k, v in value.items()
        ]
        return f"{{{', '.join(pairs)}}}"
    items = ", ".join(brief(item, depth + 1) for item in value)
    if isinstance(value, list):
        return f"[{items}]"
    if isinstance(value, tuple):
        return f"({items},)" if len(value) == 1 else f"({items})"
    return f"{{{items}}}" if value else f"{kind}()"


def _object(value: Any, depth: int) -> str:  # noqa: ANN401
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    shape = getattr(value, "shape", None)
    if module == "numpy" and shape == ():
        return str(value)
    if isinstance(shape, tuple):
        if module == "numpy" and value.size <= MAX_ITEMS and value.dtype != object:
            return brief(value.tolist(), depth)
        return f"{kind.__name__} of shape {shape}"
    if module == "scipy" and hasattr(value, "dist"):  # a distribution to draw from
        given = [*map(brief, value.args), *(f"{k}={v}" for k, v in value.kwds.items())]
        return f"{value.dist.name}({', '.join(given)})"
    if module == "sklearn" and not hasattr(value, "fit"):  # a kernel, a splitter
        text = repr(value)
        return kind.__name__ if " at 0x" in text else text[:_MAX_TEXT]
    return kind.__name__


def params_of(estimator: Any) -> dict[str, str]:  # noqa: ANN401
    """Return all params of an estimator and of those inside it, as texts."""
    found = _params(estimator, is_deep=True)
    return {key: brief(found[key]) for key in list(found)[:MAX_PARAMS]}


def changed_params(estimator: Any) -> dict[str, str]:  # noqa: ANN401
    """Return the params that are no defaults, those of inner estimators included."""
    found = dict(list(_params(estimator, is_deep=True).items())[:MAX_PARAMS])
    parts = {key: value for key, value in found.items() if _is_part(value)}
    changed = {}
    for key, value in found.items():
        owner, _, name = key.rpartition("__")
        if owner not in parts:
            owner, name = "", key
        kind: type = type(parts[owner] if owner else estimator)
        text = "" if key in parts else brief(value)
        if key not in parts and _defaults(kind).get(name) != text:
            changed[key] = text
    return changed


@lru_cache(maxsize=256)
def _defaults(kind: type) -> Mapping[str, str]:
    try:
        known = inspect.signature(kind).parameters.items()
    except (TypeError, ValueError):  # a class that is not written in Python
        return {}
    return {key: brief(param.default) for key, param in known}


def _is_part(value: object) -> bool:
    """Return whether a param is an estimator, or a list of them as pipelines have."""
    if isinstance(value, list | tuple):
        return any(map(_is_part, value[:MAX_ITEMS]))
    return hasattr(type(value), "get_params") and not isinstance(value, type)


def kind_of(estimator: Any) -> str:  # noqa: ANN401
    """Return an estimator's class: of a pipeline its last, of a search what it fits."""
    params = _params(estimator, is_deep=False)
    steps = params.get("steps")
    if isinstance(steps, list) and steps and isinstance(steps[-1], tuple):
        last = steps[-1][-1]
        return kind_of(last) if _is_part(last) else brief(last)
    inner = params.get("estimator")
    kind = type(estimator).__name__
    return f"{kind}({kind_of(inner)})" if _is_part(inner) else kind


def _params(estimator: Any, *, is_deep: bool) -> dict[str, Any]:  # noqa: ANN401
    found = estimator.get_params(deep=is_deep)
    return dict(found) if isinstance(found, Mapping) else {}


def title_of(estimator: Any) -> str:  # noqa: ANN401
    """Return an estimator's class, and the classes of what it is made of."""
    kind = type(estimator).__name__
    state = vars(estimator) if hasattr(estimator, "__dict__") else {}
    steps = state.get("steps")
    parts = []
    if isinstance(steps, list):
        parts = [step[-1] for step in steps if isinstance(step, tuple)]
    elif "estimator" in inspect.signature(type(estimator)).parameters:
        inner = state.get("estimator")  # a forest keeps one that nobody has given it
        parts = [] if inner is None else [inner]
    titles = [part if isinstance(part, str) else title_of(part) for part in parts[:8]]
    return f"{kind}({', '.join(titles)})"[:200] if titles else kind


def table_of(results: Mapping[str, Any]) -> bytes:
    """Return the results of a search as a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(results)
    for row in zip(*results.values(), strict=True):
        writer.writerow(["" if _is_masked(cell) else brief(cell) for cell in row])
    return text.getvalue().encode()


def _is_masked(cell: object) -> bool:
    return type(cell).__name__ == "MaskedConstant"
