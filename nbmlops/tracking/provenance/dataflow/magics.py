"""Magics and shell lines, as IPython turns them into Python, and what they may do."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from nbmlops.tracking.provenance.dataflow.calls import words
from nbmlops.tracking.provenance.magics import PYTHON_MAGICS

_NAMING = words(
    "runs register promote rollback deploy endpoints undeploy replay explain compare"
)
"""Ours that name runs and models: no variable."""
_SHOWING = words(
    "pinfo pinfo2 pdoc pdef psource pfile who who_ls whos history hist pwd ls lsmagic "
    "magic quickref page track predict"
)
_SETTING = words(
    "matplotlib config load_ext unload_ext reload_ext autoreload env set_env pip conda "
    "mamba uv alias pdb xmode precision colors cd logstart logstop bash sh script "
    "system sx html HTML javascript js latex markdown svg SVG writefile file ruby perl "
    "python python2 python3 pypy cmd"
)
"""They change the process or its files; names they read stand in their line."""
_BINDING = words("run reset reset_selective pylab store")
"""They may set any name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MagicLine:
    """What a magic or a shell line may do: read variables of its words, run Python."""

    words: tuple[str, ...] = ()
    code: str | None = None
    binds: tuple[str, ...] = ()
    binds_any: bool = False
    reads_everything: bool = False
    must_keep: bool = False


_UNKNOWN = MagicLine(reads_everything=True)


def read_magic(node: ast.Call) -> MagicLine | None:
    """Return what a call of IPython's shell may do, or None for any other call."""
    match node.func:
        case ast.Attribute(
            value=ast.Call(func=ast.Name(id="get_ipython")), attr=method
        ):
            pass
        case ast.Name(id="get_ipython"):
            return _UNKNOWN  # what is done with it can only be guessed
        case _:
            return None
    texts = [
        part.value
        for part in node.args
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    if method in ("system", "getoutput", "getoutput_raw"):
        return MagicLine(words=_tokens(" ".join(texts)), must_keep=True)
    if method not in ("run_line_magic", "run_cell_magic") or not texts:
        return _UNKNOWN
    name, line, body = [*texts, "", ""][:3]
    words = _tokens(line)
    if name in _NAMING:
        return MagicLine()
    if name in _SHOWING:
        return MagicLine(words=words)
    if name in PYTHON_MAGICS:
        code = body or re.sub(r"^(\s*-\w+\s*\d*)+\s", "", line)
        return MagicLine(code=code, binds=words if name == "capture" else ())
    if name in _SETTING:  # a cell magic may set names: %%bash --out text
        return MagicLine(words=words, binds=words if body else (), must_keep=True)
    if name in _BINDING and "-i" not in line.split():
        return MagicLine(words=words, binds_any=True, must_keep=True)
    return _UNKNOWN


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^\W\d]\w*", text))
