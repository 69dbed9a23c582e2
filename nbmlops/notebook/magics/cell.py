"""The text of a ``%%track`` cell: its line and its body."""

from __future__ import annotations

import re

_TRACK = re.compile(
    r"\s*%%track(?:[ \t]+(?P<line>[^\n]*))?(?:\n(?P<body>.*))?", re.DOTALL
)
_ABOVE = re.compile(r"\s*%%(?P<magic>\w+)[^\n]*\n(?:%%[^\n]*\n)*%%track\b")


def split_track(cell: str) -> tuple[str, str] | None:
    r"""Return the line and the body of a tracked cell, or None for any other.

    >>> split_track("%%track baseline -m auc\nauc = 0.9")
    ('baseline -m auc', 'auc = 0.9')
    >>> split_track("%%tracking") is None
    True
    """
    found = _TRACK.fullmatch(cell)
    if found is None:
        return None
    return (found["line"] or "").strip(), found["body"] or ""


def magic_above_track(cell: str) -> str | None:
    r"""Return the cell magic above ``%%track`` that hides it, or None.

    >>> magic_above_track("%%time\n%%track fit\nx = 1")
    'time'
    >>> magic_above_track("%%capture\n%%track fit") is None  # its body runs as a cell
    True
    """
    found = _ABOVE.match(cell)
    return found["magic"] if found and found["magic"] != "capture" else None


def blank_track_line(lines: list[str]) -> list[str]:
    """Return the cell's lines with the ``%%track`` line made a comment.

    IPython calls this for every cell and for every check whether a cell is complete,
    so it only changes text. The comment keeps the line numbers of the body; above
    another cell magic the line is removed: that magic must come first.
    """
    split = split_track("".join(lines))
    if split is None:
        return lines
    body = split[1].splitlines(keepends=True)
    if body and body[0].startswith("%%"):
        return body
    return [f"# {lines[0].rstrip()}\n", *body]
