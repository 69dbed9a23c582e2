"""Magics and shell lines, as IPython turns them into Python, and what they may do."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from nbmlops.tracking.provenance.dataflow.calls import words
from nbmlops.tracking.provenance.dataflow.syntax import called
from nbmlops.tracking.provenance.magics import PYTHON_MAGICS

_SHOWING = words(
    "runs register promote rollback deploy endpoints undeploy replay explain compare "
    "pinfo pinfo2 pdoc pdef psource pfile who who_ls whos history hist pwd ls lsmagic "
    "magic quickref page track predict"
)
_SETTING = words(
    "matplotlib config load_ext unload_ext reload_ext autoreload env set_env pip conda "
    "mamba uv alias pdb xmode precision colors cd logstart logstop bash sh script "
    "system sx html HTML javascript js latex markdown svg SVG writefile file ruby perl "
    "python python2 python3 pypy cmd"
)
"""They change the process or its files; names that they read are in their line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MagicLine:
    """What a magic or a shell line may do: read variables of its words, run Python."""

    words: Sequence[str] = ()
    code: str = ""
    binds: Sequence[str] = ()
    must_keep: bool = False
    reads_everything: bool = False


def read_magic(node: ast.Call) -> MagicLine | None:
    """Return what a call of IPython's shell may do, or None for any other call."""
    shell = node.func.value if isinstance(node.func, ast.Attribute) else node
    if called(node) != "get_ipython" and (
        not isinstance(shell, ast.Call) or called(shell) != "get_ipython"
    ):
        return None
    method = called(node)
    texts = [str(getattr(part, "value", "")) for part in node.args]
    if method in ("system", "getoutput", "getoutput_raw"):
        return MagicLine(words=_names(" ".join(texts)), must_keep=True)
    name, line, body = [*texts, "", "", ""][:3]
    words = _names(line)
    if method not in ("run_line_magic", "run_cell_magic"):
        return MagicLine(reads_everything=True)  # it can only be guessed
    if name in _SHOWING:
        return MagicLine(words=words)
    if name in PYTHON_MAGICS:
        code = body or re.sub(r"^(\s*-\w+\s*\d*)+\s", "", line)
        return MagicLine(code=code, binds=words if name == "capture" else ())
    if name in _SETTING:  # a cell magic may set names: %%bash --out text
        return MagicLine(words=words, binds=words if body else (), must_keep=True)
    return MagicLine(reads_everything=True)


def _names(text: str) -> Sequence[str]:
    return re.findall(r"[^\W\d]\w*", text)
