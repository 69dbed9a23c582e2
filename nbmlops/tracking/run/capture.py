"""What a cell made: its model, and the data the model was fitted on."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

_FITS = ("fit", "fit_transform", "fit_predict", "partial_fit")
_N_LOOKED_AT = 100
_BLOCKS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def assigned_names(source: str) -> tuple[str, ...]:
    r"""Return the names that a cell's code binds or fits, the last one last.

    >>> assigned_names("a = 1\nb = a\nmodel.fit(X, y)\na = 2")
    ('b', 'model', 'a')
    """
    names: dict[str, None] = {}
    for node in _walk(source):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                pass
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Name(id=name), attr="fit" | "fit_transform"
                )
            ):
                pass
            case _:
                continue
        names.pop(name, None)
        names[name] = None
    return tuple(names)


def read_names(source: str) -> tuple[str, ...]:
    """Return the names that a cell's code reads, each once, the first first."""
    found = [
        node.id
        for node in _walk(source)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    ]
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataNames:
    """Where the data of a fit may be, the likeliest first."""

    given: tuple[str, ...] = ()
    read: tuple[str, ...] = ()


def data_names(source: str, datasets: Iterable[str] = ()) -> DataNames:
    """Return where the data of a cell's fits may be.

    >>> data_names("m.fit(train['text'], y)")
    DataNames(given=("train['text']",), read=('y', 'train', 'm'))
    """
    fitted = [
        ast.unparse(node.args[0])
        for node in _walk(source)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _FITS
        and node.args
        and _is_look_up(node.args[0])
    ]
    given = tuple(dict.fromkeys([*datasets, *fitted]))
    return DataNames(given=given, read=read_names(source))


def _is_look_up(node: ast.AST) -> bool:
    match node:
        case ast.Name():
            return True
        case ast.Attribute(value=value):
            return _is_look_up(value)
        case ast.Subscript(value=value, slice=ast.Constant()):
            return _is_look_up(value)
    return False


def _look_up(namespace: Mapping[str, Any], expression: str) -> Any:  # noqa: ANN401
    """Return the value of a name or a plain look-up; None for all else."""
    if expression.isidentifier():
        return namespace.get(expression)
    try:
        node = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError):
        return None
    steps = []
    while not isinstance(node, ast.Name):
        if not _is_look_up(node):
            return None
        steps.append(node)
        node = node.value  # type: ignore[attr-defined]
    value = namespace.get(node.id)
    try:
        for step in reversed(steps):
            if isinstance(step, ast.Attribute):
                value = getattr(value, step.attr)
            else:
                value = value[step.slice.value]  # type: ignore[attr-defined,index]
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    return value


def _walk(source: str) -> Iterable[ast.AST]:
    """Yield the nodes that run in the cell itself, in the order of the text."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    waiting: list[ast.AST] = [tree]
    nodes: list[ast.AST] = []
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        if not isinstance(node, _BLOCKS):
            waiting.extend(ast.iter_child_nodes(node))
    yield from sorted(nodes, key=lambda n: getattr(n, "lineno", 0))


def find_model(
    namespace: Mapping[str, Any], names: Iterable[str]
) -> tuple[str, Any] | None:
    """Return the name and value of the fitted estimator a cell left behind."""
    from nbmlops.store.models.models import is_fitted_estimator

    fitted = [
        (name, namespace[name])
        for name in names
        if name in namespace and is_fitted_estimator(namespace[name])
    ]
    predictors = [item for item in fitted if hasattr(item[1], "predict")]
    return next(reversed(predictors or fitted), None)


def find_example(
    namespace: Mapping[str, Any], names: DataNames, estimator: object
) -> Any:  # noqa: ANN401 - rows of any form
    """Return data of the form the estimator was fitted on, or None."""
    from nbmlops.store.models import boosters

    if boosters.flavor_of(estimator) is not None:
        estimator = boosters.Predictor(estimator)
    columns = getattr(estimator, "feature_names_in_", None)
    width = getattr(estimator, "n_features_in_", None)
    if width is None and columns is None:
        for name in names.given:
            data = _look_up(namespace, name)
            if _is_texts_or_dicts(data):
                return data
    for name in (*names.given, *names.read):
        data = _look_up(namespace, name)
        if isinstance(data, list | tuple):
            if columns is None and data and _widths(data) == {width}:
                return data
            continue
        shape = getattr(data, "shape", None)
        if not isinstance(shape, tuple) or len(shape) != 2 or shape[0] == 0:
            continue
        if columns is not None:
            if hasattr(data, "columns") and set(columns) <= set(data.columns):
                return data[list(columns)]
        # A step of the user's own may keep neither names nor a number of columns.
        elif width == shape[1] or (width is None and _predicts(estimator, data)):
            return data
    return None


def _predicts(estimator: Any, data: Any) -> bool:  # noqa: ANN401
    from nbmlops.scoring.inference import same_draws

    rows = data[:2]
    try:
        with same_draws():
            return len(estimator.predict(rows)) == int(rows.shape[0])
    except Exception:  # noqa: BLE001 - it may be any code, given other data than its own
        return False


def _widths(rows: Iterable[Any]) -> set[int]:
    return {
        len(row) if isinstance(row, list | tuple) else -1
        for row in islice(rows, _N_LOOKED_AT)
    }


def _is_texts_or_dicts(data: Any) -> bool:  # noqa: ANN401
    is_flat = isinstance(data, list | tuple) or (
        isinstance(getattr(data, "shape", None), tuple) and len(data.shape) == 1
    )
    if not is_flat or isinstance(data, Iterator):
        return False
    first = [value for value in islice(data, _N_LOOKED_AT) if value is not None]
    return bool(first) and (
        all(isinstance(value, str) for value in first)
        or all(isinstance(value, Mapping) for value in first)
    )
