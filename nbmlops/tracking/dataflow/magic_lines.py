"""Magics and shell lines, as IPython turns them into Python, and what they may do."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from nbmlops.tracking.dataflow import known_calls as known

_TOKEN = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class MagicLine:
    """What a magic or a shell line may do.

    Attributes
    ----------
    tokens : tuple of str
        Words of its line: it may read the variables of these names.
    code : str or None
        Python that it runs.
    sets : tuple of str
        Names that it may set.
    acts : bool
        Whether it changes files or the process.
    is_setting : bool
        Whether it sets an option, and to run it twice is as good as once.
    sets_any, sees_all : bool
        Whether it may set any name, and read any name.
    """

    tokens: tuple[str, ...] = ()
    code: str | None = None
    sets: tuple[str, ...] = ()
    acts: bool = False
    is_setting: bool = False
    sets_any: bool = False
    sees_all: bool = False


_UNKNOWN = MagicLine(acts=True, sets_any=True, sees_all=True)


def read_magic(node: ast.Call) -> MagicLine | None:
    """Return what a call of IPython's shell may do, or None for any other call.

    Parameters
    ----------
    node : ast.Call
        A call such as ``get_ipython().run_line_magic("time", "x = 1")``.

    Returns
    -------
    MagicLine or None
        Of a magic that is not known: that it may read and set any name.
    """
    match node.func:
        case ast.Attribute(
            value=ast.Call(func=ast.Name(id="get_ipython")), attr=method
        ):
            pass
        case ast.Name(id="get_ipython"):
            return _UNKNOWN  # what is done with it can only be guessed
        case _:
            return None
    words = [
        part.value
        for part in node.args
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    if method in ("system", "getoutput", "getoutput_raw"):
        return MagicLine(tokens=_tokens(" ".join(words)), acts=True)
    if method not in ("run_line_magic", "run_cell_magic") or not words:
        return _UNKNOWN
    name, line, body = [*words, "", ""][:3]
    return _named(name, line, body)


def _named(name: str, line: str, body: str) -> MagicLine:
    tokens = _tokens(line)
    if name in known.TIMING_MAGICS:
        code = body or re.sub(r"^(\s*-\w+\s*\d*)+\s", "", line)
        if re.search(r"(?m)^\s*[%!]", code):
            return _UNKNOWN
        return MagicLine(code=code, sets=tokens if name == "capture" else ())
    if name in known.OWN_MAGICS:
        return MagicLine()
    if name in known.SHOWING_MAGICS:
        return MagicLine(tokens=tokens)
    if name in known.SETTING_MAGICS:
        return MagicLine(tokens=tokens, is_setting=True)
    if name in known.ACTING_MAGICS:  # a cell magic may set names: %%bash --out text
        return MagicLine(tokens=tokens, sets=tokens if body else (), acts=True)
    if name in known.BINDING_MAGICS and "-i" not in line.split():
        return MagicLine(tokens=tokens, acts=True, sets_any=True)
    return _UNKNOWN


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(text))
