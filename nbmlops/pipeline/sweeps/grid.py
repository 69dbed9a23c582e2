"""Sets of parameters: a grid, a list, a file, or as they are typed."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from nbmlops.errors import UsageError, did_you_mean
from nbmlops.execution.notebooks.notebook import find_notebook, read_quickly
from nbmlops.execution.parameters.parameters import Parameter, parameters, parse_text
from nbmlops.pipeline.spec.file import read_text
from nbmlops.pipeline.spec.yaml_lines import Problem, read_located
from nbmlops.pipeline.sweeps.checking import Checker

_MOST_RUNS = 10_000
_SUFFIXES = (".csv", ".json", ".yaml", ".yml")
_RANGE = re.compile(
    r"(?P<low>[^.,:\[]*(?:\.\d[^.,:]*)?)\.\.(?P<high>[^,:]+)(?::(?P<how>[^,:]+))?"
)
Combo = dict[str, object]
Given = Sequence[Mapping[str, object]] | str | Path
Declared = Mapping[str, Parameter] | None
_Located = Iterator[tuple[str, list[tuple[str, object]]]]
"""Where each set is, and its values."""


def of_grid(
    grid: Mapping[str, Iterable[object]], fixed: Iterable[str], checker: Checker
) -> list[Combo]:
    """Return each combination of a grid, the last axis changing fastest."""
    axes: dict[str, list[object]] = {}
    if not isinstance(grid, Mapping):
        checker.fail(f"The grid is {grid!r:.60}, not lists of values by name.")
        return []
    for name, values in grid.items():
        if isinstance(values, str | bytes | Mapping | set) or not isinstance(
            values, Iterable
        ):
            checker.fail(f"Grid {name!r} is {values!r:.60}, not a list of values.")
            continue
        axes[name] = [checker.fit(name, value) for value in values]
        if not axes[name]:
            checker.fail(f"Grid {name!r} is empty.")
        for value in _twice(axes[name]):
            checker.fail(f"Grid {name!r} has {value!r:.60} twice.")
    if not grid:
        checker.fail("The grid names no parameter.")
    checker.complete(fixed, grid, "")
    n = math.prod(map(len, axes.values()))
    if n > _MOST_RUNS:
        checker.fail(f"The grid is {n:,} runs, above {_MOST_RUNS:,}.")
        return []
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def of_list(given: Given, fixed: Iterable[str], checker: Checker) -> list[Combo]:
    """Return the sets of a list, or of a file of them."""
    if isinstance(given, str | Path):
        located = _read_file(Path(given), checker)
    else:
        located = _read_list(given, checker)
    fixed, n = list(fixed), 0
    found: list[Combo] = []
    seen: dict[str, str] = {}
    for where, values in located:
        n += 1
        if n > _MOST_RUNS:
            checker.fail(f"There are more than {_MOST_RUNS:,} sets.")
            break
        combo = {name: checker.fit(name, value, where) for name, value in values}
        checker.complete(fixed, combo, where)
        first = seen.setdefault(repr(sorted(combo.items())), where)
        if first != where:
            checker.fail(f"The set is that of {first} again.", where)
        found.append(combo)
    if not n and not checker.problems:
        checker.fail("There are no sets.")
    return found


def _read_list(given: Sequence[Mapping[str, object]], checker: Checker) -> _Located:
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        checker.fail(f"The sets are {given!r:.60}, not a list of mappings.")
        return
    for n, each in enumerate(given, 1):
        if isinstance(each, Mapping):
            yield f"set {n}", [(str(name), value) for name, value in each.items()]
        else:
            checker.fail(f"It is {each!r:.60}, not a mapping.", f"set {n}")


def _read_file(path: Path, checker: Checker) -> _Located:
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"{str(path)!r} is no file of sets.",
            fix=f"Name one that ends in {', '.join(_SUFFIXES)}.",
        )
    text = read_text(path, "file")
    if path.suffix.lower() == ".csv":
        yield from _read_csv(text, checker)
        return
    problems: list[Problem] = []
    document = read_located(text, problems)
    for each in problems:
        checker.fail(each.message, f"line {each.line}")
    if document is None or not isinstance(document.value, list):
        if not problems:
            checker.fail(f"{path.name} is not a list of mappings.")
        return
    for item in document.value:
        where = f"line {item.line}"
        if isinstance(item.value, dict):
            yield where, list(item.plain().items())
        else:
            checker.fail(f"It is {item.plain()!r:.60}, not a mapping.", where)


def _read_csv(text: str, checker: Checker) -> _Located:
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        for name in _twice(names):
            checker.fail(f"The column {name!r} is there twice.", "line 1")
        known = names if checker.declared is None else checker.declared
        for name in names:
            if name not in known:
                near = did_you_mean(name, known)
                checker.fail(f"No parameter {name!r}.{near}", "line 1")
        for row in reader:
            where = f"line {reader.line_num}"
            if len(row) > len(names):
                checker.fail(f"It has {len(row)} cells, not {len(names)}.", where)
            elif any(map(str.strip, row)):
                cells = zip(names, row, strict=False)
                given = [(n, cell) for n, cell in cells if cell.strip() and n in known]
                yield where, [(n, parse_text(checker.declared, n, c)) for n, c in given]
    except csv.Error as error:
        checker.fail(f"This is not CSV: {error}.", f"line {reader.line_num}")


def _twice(values: Sequence[object]) -> list[object]:
    seen: set[str] = set()
    return [v for v in values if repr(v) in seen or seen.add(repr(v))]  # type: ignore[func-returns-value]


def declared_by(path: str | Path) -> Declared:
    """Return what a notebook declares."""
    return parameters(read_quickly(find_notebook(path)))


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
