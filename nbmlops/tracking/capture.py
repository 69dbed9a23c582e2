"""What a cell made: its model, and the data the model was fitted on."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

_BLOCKS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def assigned_names(source: str) -> tuple[str, ...]:
    r"""Return the names that a cell's code binds or fits, the last one last.

    Parameters
    ----------
    source : str
        Python code; code that cannot be parsed binds nothing.

    Returns
    -------
    tuple of str
        Each name once, in the order of its last assignment or call of ``fit``.

    Examples
    --------
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
    """Return the names that a cell's code reads, each once, the first first.

    Parameters
    ----------
    source : str
        Python code; code that cannot be parsed reads nothing.

    Returns
    -------
    tuple of str
        Names outside of functions and classes.
    """
    found = [
        node.id
        for node in _walk(source)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    ]
    return tuple(dict.fromkeys(found))


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
    """Return the name and value of the fitted estimator a cell left behind.

    Parameters
    ----------
    namespace : Mapping of str to object
        The user's variables.
    names : iterable of str
        Names the cell bound, the last one last.

    Returns
    -------
    tuple of str and estimator, or None
        The last that can predict, else the last that is fitted; None without any.
    """
    from nbmlops.store.models import is_fitted_estimator

    fitted = [
        (name, namespace[name])
        for name in names
        if name in namespace and is_fitted_estimator(namespace[name])
    ]
    predictors = [item for item in fitted if hasattr(item[1], "predict")]
    return next(reversed(predictors or fitted), None)


def find_example(
    namespace: Mapping[str, Any], names: Iterable[str], estimator: object
) -> Any:  # noqa: ANN401 - a frame or an array
    """Return data of the form the estimator was fitted on, or None.

    Parameters
    ----------
    namespace : Mapping of str to object
        The user's variables.
    names : iterable of str
        Names to look at, the likeliest first.
    estimator : estimator
        A fitted scikit-learn estimator.

    Returns
    -------
    DataFrame or ndarray of shape (n_samples, n_features), or None
        The first whose columns are those the estimator knows, in its order.
    """
    from nbmlops.store import boosters

    if boosters.flavor_of(estimator) is not None:
        estimator = boosters.Predictor(estimator)
    columns = getattr(estimator, "feature_names_in_", None)
    width = getattr(estimator, "n_features_in_", None)
    for name in names:
        data: Any = namespace.get(name)
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
    try:
        estimator.predict(data[:2])
    except Exception:  # noqa: BLE001 - it may be any code, given other data than its own
        return False
    return True
