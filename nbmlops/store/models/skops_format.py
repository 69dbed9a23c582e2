"""The skops format: a fitted estimator as bytes that hold data and no code."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbmlops.errors import UsageError
from nbmlops.store.models import own_code
from nbmlops.store.models.own_code import OwnCode, Trust, is_found, is_trusted, refusal
from nbmlops.store.models.trusted_types import TRUSTED_TYPES, is_harmless

LOG_AGAIN = "Log it again with nbmlops: in a %%track cell, or by run.log_model(model)."

_NOT_WRITABLE = (TypeError, ValueError, AttributeError, ImportError, RecursionError)


def dump(model: object, trust: Trust = ()) -> tuple[bytes, list[str], Any, OwnCode]:
    """Return a fitted estimator in the skops format, and what it takes to read it."""
    try:
        return _dump(model, trust)
    except UsageError as error:
        refused, cause = error, error.__cause__
    best = getattr(model, "best_estimator_", None)
    if best is not None:
        with contextlib.suppress(UsageError):
            dump(best, trust)
            fix = "Log its best_estimator_ instead of the whole search."
            refused = UsageError(refused.problem, fix=fix)
    raise refused from cause


def _dump(model: object, trust: Trust) -> tuple[bytes, list[str], Any, OwnCode]:
    import skops.io

    name = f"The {type(model).__name__}"
    try:
        content = _write(model)
        types = skops.io.get_untrusted_types(data=content)
        unknown = set(types) - set(TRUSTED_TYPES)
        strange = {n for n in unknown if not (is_trusted(n, trust) and is_found(n))}
        if strange:
            raise refusal(name, strange)
        if unknown:
            own_code.refuse_old_code(model)
        code = own_code.collect(unknown)
        if code.notebook:
            content = _renamed(content, "__main__", code.notebook)
            types = skops.io.get_untrusted_types(data=content)
        return content, types, skops.io.loads(content, trusted=types), code
    except UsageError:
        raise
    except _NOT_WRITABLE as error:
        reason = str(error).rstrip(".") or type(error).__name__
        if isinstance(error, RecursionError):
            reason = "it holds an object that refers back to itself"
        raise UsageError(
            f"{name} cannot be stored without pickle: {reason}.",
            fix="Leave that part out of the model.",
        ) from error


def _renamed(content: bytes, module: str, new: str) -> bytes:
    """Return a file in which what is of one module is of another."""

    def rename(node: dict[str, Any]) -> dict[str, Any]:
        return node | {"__module__": new} if node.get("__module__") == module else node

    changed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(changed, "w", **_PACKING) as file,
    ):
        for each in old.namelist():
            data = old.read(each)
            if each == "schema.json":
                data = json.dumps(json.loads(data, object_hook=rename)).encode()
            file.writestr(each, data)
    return changed.getvalue()


# Level 1 makes a forest a fifth of its size in the time that storing it takes.
_PACKING: dict[str, Any] = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 1}


def _write(model: object) -> bytes:
    import skops.io

    try:
        return bytes(skops.io.dumps(model, **_PACKING))
    except _NOT_WRITABLE:
        import pandas as pd

        # `ColumnTransformer` keeps the column names it was given as they are; skops
        # has no form for an Index, and a list of the names means the same.
        held = [p for p in _parts(model, set()) if isinstance(p, pd.Index | pd.Series)]
        if not held:
            raise
        lists: dict[int, Any] = {id(part): part.tolist() for part in held}
        return bytes(skops.io.dumps(copy.deepcopy(model, lists), **_PACKING))


def _parts(value: object, seen: set[int]) -> Iterator[object]:
    """Yield a model and what it holds, each object once."""
    if id(value) in seen:
        return
    seen.add(id(value))
    yield value
    if hasattr(value, "get_params") and not isinstance(value, type):
        value = vars(value)
    held = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list | tuple):
        for part in held:  # type: ignore[attr-defined]
            yield from _parts(part, seen)


def import_skops() -> None:
    """Import skops, and not all of scikit-learn, of which it lists the estimators.

    That list takes 0.2 s and 20 MB, and `load` asks for the names of one file alone.
    """
    import sklearn.utils

    listed, sklearn.utils.all_estimators = sklearn.utils.all_estimators, list
    try:
        import skops.io  # noqa: F401
    finally:
        sklearn.utils.all_estimators = listed


def load(path: Path, trust: Trust = ()) -> Any:  # noqa: ANN401
    """Return the fitted estimator in a file; no code is run but of trusted modules."""
    import skops.io

    try:
        types = skops.io.get_untrusted_types(file=path)
        unknown = {each for each in types if not is_harmless(each)}
        if refused := {each for each in unknown if not is_trusted(each, trust)}:
            raise refusal("The model", refused, is_loaded=True)
        if unknown:
            own_code.allow_imports(path.parent)
        return skops.io.load(path, trusted=types)
    except UsageError:
        raise
    except Exception as error:  # each package's parts have errors of their own
        raise UsageError(
            f"The model {path} cannot be read: {type(error).__name__}: {error}.",
            fix=LOG_AGAIN,
        ) from error
