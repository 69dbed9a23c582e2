"""The skops format: a fitted estimator as bytes that hold data and no code."""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nbmlops.errors import UsageError
from nbmlops.store.trusted_types import TRUSTED_TYPES

LOG_AGAIN = "Log it again with nbmlops: in a %%track cell, or by run.log_model(model)."

_NOT_WRITABLE = (TypeError, ValueError, AttributeError, ImportError, RecursionError)


def dump(model: object) -> tuple[bytes, list[str], Any]:
    """Return a fitted estimator in the skops format, the types it needs, and a copy.

    Parameters
    ----------
    model : object
        A fitted estimator.

    Returns
    -------
    tuple of bytes, list of str and object
        The file's content; the types in it that skops does not trust by itself, all of
        them in ``TRUSTED_TYPES``; the estimator as it is read back from the content.

    Raises
    ------
    UsageError
        The model holds something that only pickle can store; it is named.
    """
    import skops.io

    name = type(model).__name__
    fix = (
        "Build it of scikit-learn's own classes and numpy's functions, or leave that "
        "part out of the model."
    )
    if hasattr(model, "best_estimator_"):
        fix = "Log its best_estimator_ instead of the whole search."
    try:
        content = _write(model)
        types = skops.io.get_untrusted_types(data=content)
        if unknown := sorted(set(types) - set(TRUSTED_TYPES)):
            raise UsageError(
                f"The {name} cannot be stored without pickle: it holds "
                f"{', '.join(unknown)}, which could run any code when it is loaded.",
                fix=fix,
            )
        read = skops.io.loads(content, trusted=types)
    except UsageError:
        raise
    except _NOT_WRITABLE as error:
        reason = str(error).rstrip(".") or type(error).__name__
        if isinstance(error, RecursionError):
            reason = "it holds an object that refers back to itself"
        raise UsageError(
            f"The {name} cannot be stored without pickle: {reason}.", fix=fix
        ) from error
    return content, types, read


def _write(model: object) -> bytes:
    import skops.io

    # Level 1 makes a forest a fifth of its size in the time that storing it takes.
    packing = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 1}
    try:
        return bytes(skops.io.dumps(model, **packing))
    except _NOT_WRITABLE:
        import pandas as pd

        # `ColumnTransformer` keeps the column names it was given as they are; skops
        # has no form for an Index, and a list of the names means the same.
        held = [p for p in _parts(model, set()) if isinstance(p, pd.Index | pd.Series)]
        if not held:
            raise
        lists: dict[int, Any] = {id(part): part.tolist() for part in held}
        return bytes(skops.io.dumps(copy.deepcopy(model, lists), **packing))


def _parts(value: object, seen: set[int]) -> Iterator[object]:
    """Yield a model and what it holds, each object once."""
    if id(value) in seen:
        return
    seen.add(id(value))
    yield value
    held: Iterable[object] = ()
    if isinstance(value, dict):
        held = value.values()
    elif isinstance(value, list | tuple):
        held = value
    elif hasattr(value, "get_params") and not isinstance(value, type):
        held = vars(value).values()
    for part in held:
        yield from _parts(part, seen)


def load(path: Path) -> Any:  # noqa: ANN401 - an estimator of any class
    """Return the fitted estimator in a file; no code in it is run.

    Parameters
    ----------
    path : Path
        A file in the skops format.

    Returns
    -------
    object
        The fitted estimator.

    Raises
    ------
    UsageError
        The file holds a type that is not in ``TRUSTED_TYPES``, or is damaged.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.load(path, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        unknown = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)
        raise UsageError(
            f"The model {path} holds {', '.join(sorted(unknown))}, which could run any "
            "code when it is loaded.",
            fix=LOG_AGAIN,
        ) from error
    except Exception as error:  # each package's parts have errors of their own
        raise UsageError(
            f"The model {path} cannot be read: {type(error).__name__}: {error}.",
            fix=LOG_AGAIN,
        ) from error
