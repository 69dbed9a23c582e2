"""Grids and spaces as they are typed: ``C=0.1,1,10`` and ``C=0.01..10:log``."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from nbmlops.errors import UsageError
from nbmlops.execution.notebooks.kernelspecs import glance
from nbmlops.execution.notebooks.notebook import find_notebook, parameters
from nbmlops.execution.parameters.parameters import Parameter, parse_text

_RANGE = re.compile(
    r"(?P<low>[^.,:\[]*(?:\.\d[^.,:]*)?)\.\.(?P<high>[^,:]+)(?::(?P<how>[^,:]+))?"
)
Declared = Mapping[str, Parameter] | None


def declared_by(path: str | Path) -> Declared:
    """Return what a notebook declares."""
    return parameters(glance(find_notebook(path)))


def parse_grid(declared: Declared, texts: Iterable[str]) -> dict[str, list[object]]:
    """Return a grid as it was typed, its values of the declared types.

    >>> known = {"C": Parameter(name="C", type="float")}
    >>> parse_grid(known, ["C=0.1,1"])
    {'C': [0.1, 1.0]}
    """
    return {name: _values(declared, name, text) for name, text in _named(texts)}


def parse_space(declared: Declared, texts: Iterable[str]) -> dict[str, object]:
    """Return a search space as it was typed.

    >>> known = {"C": Parameter(name="C", type="float")}
    >>> parse_space(known, ["C=0.01..10:log", "kernel=rbf,linear"])
    {'C': (0.01, 10.0, 'log'), 'kernel': ['rbf', 'linear']}
    """
    space: dict[str, object] = {}
    for name, text in _named(texts):
        found = _RANGE.fullmatch(text)
        if found is None:
            space[name] = _values(declared, name, text)
            continue
        ends = [parse_text(declared, name, found[end]) for end in ("low", "high")]
        how = found["how"]
        if how is not None:
            ends.append("log" if how == "log" else parse_text(declared, name, how))
        space[name] = tuple(ends)
    return space


def _named(texts: Iterable[str]) -> list[tuple[str, str]]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, mark, values = text.partition("=")
        name = name.strip()
        if not mark or not name:
            raise UsageError(f"{text!r} gives no values.", fix="Write NAME=V1,V2.")
        if name in pairs:
            raise UsageError(
                f"{name!r} is given twice.", fix="Write all of its values at once."
            )
        pairs[name] = values
    return list(pairs.items())


def _values(declared: Declared, name: str, text: str) -> list[object]:
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, list):
            kept = (
                each if isinstance(each, str) else json.dumps(each) for each in found
            )
            return [parse_text(declared, name, each) for each in kept]
    cells = next(csv.reader([text], skipinitialspace=True), [])
    return [parse_text(declared, name, cell.strip()) for cell in cells]
