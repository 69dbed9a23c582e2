"""What a user logs, as MLflow can keep it."""

from __future__ import annotations

import math
import operator
import posixpath
from hashlib import sha256
from typing import Any

from nbmlops.errors import UsageError

LONGEST_PARAM, LONGEST_TAG, LONGEST_NAME = 6000, 8000, 250
_SHOWN = 200


def to_number(name: str, value: Any) -> float:  # noqa: ANN401 - whatever was measured
    """Return a metric's value as a number."""
    try:
        if isinstance(value, str | bytes):
            raise TypeError("text")
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(
            f"Metric {name!r} is {value!r}, which is not a number.",
            fix="Log numbers as metrics and text as params or tags.",
        ) from error


def to_step(value: Any) -> int:  # noqa: ANN401 - whatever was counted
    """Return a metric's step as an integer that a database keeps."""
    try:
        step = operator.index(value)
    except TypeError:
        step = None
    if step is None or not -(2**63) <= step < 2**63:
        raise UsageError(
            f"The step is {value!r}, which is no integer of 64 bits.",
            fix="Count steps in integers.",
        )
    return step


def as_json(number: float) -> str:
    """Return a float as JSON, and what is not finite as Python reads it in JSON."""
    text = repr(number)
    return text if math.isfinite(number) else _NOT_FINITE[text]


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def shortened(text: str, longest: int, whole: str) -> str | None:
    r"""Return a short form of a text that MLflow would cut or a database refuse.

    >>> shortened("short", 6000, "") is None
    True
    >>> print(shortened("a\0b", 6000, "nbmlops/params/x.txt"))
    a\x00b… [3 characters, sha256 59b271ae, whole in nbmlops/params/x.txt]
    """
    is_plain = "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
    if is_plain and len(text) <= longest:
        return None
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    shown = "".join(
        c if is_plain or c.isprintable() else repr(c)[1:-1] for c in text[:_SHOWN]
    )
    return f"{shown}… [{len(text)} characters, sha256 {digest}, whole in {whole}]"


def check_name(what: str, name: str) -> None:
    """Refuse a name of a run or experiment that some database cannot keep."""
    if not name.strip() or shortened(name, LONGEST_NAME, "") is not None:
        raise UsageError(
            f"{name[:80]!r} cannot name {what}.",
            fix=f"Use 1 to {LONGEST_NAME} characters of text.",
        )


def check_artifact_path(path: str) -> None:
    """Refuse a path that no artifact can have."""
    try:
        parts = path.encode().split(b"/")
    except UnicodeEncodeError:  # a lone surrogate
        parts = []
    is_inside = posixpath.normpath(path) == path and path[:1] != "/"
    if not parts or not is_inside or parts[0] in (b".", b"..") or "\0" in path:
        raise UsageError(
            f"{path[:80]!r} is no path of an artifact.",
            fix="Give one that is relative, without '.', '..' or '//' in it.",
        )
    if max(map(len, parts)) > 255:
        raise UsageError(
            f"{path[:80]!r}... is too long for an artifact.",
            fix="Use at most 255 bytes for each part of the path.",
        )
