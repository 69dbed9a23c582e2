"""Content hashes of data and of source code."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


class NoDigestError(Exception):
    """No digest can be made of a value; the message names its type."""


def frame_digest(frame: pd.DataFrame) -> str:
    """Return a hash over all of a frame: every value, its order, names and types."""
    return _digest(_parts_of(frame))


def _parts_of(frame: pd.DataFrame) -> Iterator[bytes]:
    yield repr((frame.shape, [str(name) for name in frame.columns])).encode()
    for position in range(frame.shape[1]):
        column = frame.iloc[:, position]
        yield str(column.dtype).encode()
        yield _values(column)
    index = frame.index
    yield _values(index if index.nlevels > 1 else index.to_series())


def _digest(parts: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _values(column: pd.Series[Any] | pd.Index[Any]) -> bytes:
    import pandas as pd

    if pd.api.types.is_object_dtype(column.dtype):
        is_text = pd.api.types.infer_dtype(column, skipna=True) in ("string", "empty")
        # Of other objects pandas hashes the text: 1 and "1" would be the same.
        if not is_text and not isinstance(column, pd.MultiIndex):
            texts = [json.dumps(_plain(value)) for value in column.tolist()]
            column = pd.Series(texts, dtype=object)
    hashes = pd.util.hash_pandas_object(column, index=False)
    return hashes.to_numpy().tobytes()


def array_digest(array: Any) -> str:  # noqa: ANN401 - an ndarray
    """Return a hash over an array of any number of dimensions."""
    import numpy as np

    kind = repr((array.shape, array.dtype.str)).encode()
    if array.dtype.kind == "O":
        return _digest([kind, json.dumps(_plain(array.tolist())).encode()])
    return _digest([kind, np.ascontiguousarray(array).reshape(-1).view(np.uint8).data])


def sparse_digest(matrix: Any) -> str:  # noqa: ANN401 - a sparse matrix of scipy
    """Return a hash over a sparse matrix, whatever its layout."""
    rows = matrix.tocsr(copy=True)  # what follows changes it in place
    rows.sum_duplicates()
    rows.eliminate_zeros()
    kind = repr(("sparse", rows.shape, rows.dtype.str)).encode()
    parts = (rows.indptr.astype("int64"), rows.indices.astype("int64"), rows.data)
    return _digest([kind, *(part.tobytes() for part in parts)])


def folder_digest(folder: Path) -> str:
    """Return a hash over the files of a folder: their paths and contents.

    A link to a folder counts as what it points to, which is not looked into.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and path.is_dir():
            link = [path.relative_to(folder).as_posix(), str(path.readlink()), "link"]
            digest.update(json.dumps(link).encode())
        elif path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            name = path.relative_to(folder).as_posix()
            digest.update(json.dumps([name, content]).encode())
    return digest.hexdigest()


def list_digest(rows: Iterable[Any]) -> str:
    """Return a hash over a list: over its values and their types as canonical JSON."""
    return _digest([json.dumps(_plain(list(rows)), sort_keys=True).encode()])


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return a value as JSON, so that others have another."""
    kind = type(value)
    if kind in (str, int, float, bool) or value is None:
        return None if value != value else value  # missing values equal each other
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        pairs = {key: _plain(item) for key, item in value.items()}
        if all(type(key) is str for key in pairs):
            return pairs
        keyed = ([_plain(key), item] for key, item in pairs.items())
        return {"": sorted(keyed, key=json.dumps)}
    if isinstance(value, set | frozenset):
        return {"set": sorted((_plain(item) for item in value), key=json.dumps)}
    pandas, sparse = sys.modules.get("pandas"), hasattr(value, "tocsr")
    if pandas and (value is pandas.NA or value is pandas.NaT):
        return None
    if pandas and isinstance(value, pandas.DataFrame | pandas.Series):
        return {"frame": frame_digest(pandas.DataFrame(value))}
    if hasattr(value, "dtype") and not sparse:
        if getattr(value, "ndim", None):
            return {"array": array_digest(value)}
        if value.dtype.kind in "biufSU":
            return _plain(value.item())
    if sparse:
        return {"sparse": sparse_digest(value)}
    text = repr(value)
    if re.search(r" at 0x[0-9a-f]+", text):
        raise NoDigestError(kind.__name__)
    return {f"{kind.__module__}.{kind.__qualname__}": text}


def code_hash(sources: Iterable[str]) -> str:
    """Return the sha256 of pieces of code, one after the other."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.strip().encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def set_hash(items: Iterable[str]) -> str:
    """Return the sha256 of some lines, whatever their order."""
    return hashlib.sha256("\n".join(sorted(items)).encode()).hexdigest()
