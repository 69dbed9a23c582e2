"""Content hashes of a frame and of source code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def frame_digest(frame: pd.DataFrame) -> str:
    """Return a hash over all of a frame: every value, its order, names and types.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Any frame.

    Returns
    -------
    str
        32 hexadecimal digits. Equal frames have equal digests; missing values equal
        each other.

    Examples
    --------
    >>> import pandas as pd
    >>> a = pd.DataFrame({"x": [1, 2]})
    >>> frame_digest(a) == frame_digest(a.copy())
    True
    >>> frame_digest(a) == frame_digest(a[::-1])
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((frame.shape, [str(name) for name in frame.columns])).encode())
    for position in range(frame.shape[1]):
        column = frame.iloc[:, position]
        digest.update(str(column.dtype).encode())
        digest.update(_values(column))
    digest.update(_values(frame.index.to_series()))
    return digest.hexdigest()


def _values(column: pd.Series[Any]) -> bytes:
    import pandas as pd

    try:
        hashes = pd.util.hash_pandas_object(column, index=False)
    except TypeError:  # values that cannot be hashed, such as lists
        hashes = pd.util.hash_pandas_object(column.map(repr), index=False)
    return hashes.to_numpy().tobytes()


def code_hash(sources: Iterable[str]) -> str:
    """Return the sha256 of pieces of code, one after the other.

    Parameters
    ----------
    sources : iterable of str
        Source of each cell, in order.

    Returns
    -------
    str
        64 hexadecimal digits; white space around a cell does not count.

    Examples
    --------
    >>> code_hash(["x = 1"]) == code_hash(["x = 1 "])
    True
    >>> code_hash(["x = 1"]) == code_hash(["x = 2"])
    False
    """
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.strip().encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def set_hash(items: Iterable[str]) -> str:
    """Return the sha256 of some lines, whatever their order.

    Parameters
    ----------
    items : iterable of str
        Digests, pins or the like.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> set_hash(["a", "b"]) == set_hash(["b", "a"])
    True
    """
    return hashlib.sha256("\n".join(sorted(items)).encode()).hexdigest()
