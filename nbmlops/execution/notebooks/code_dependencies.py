"""Which code and packages a notebook's cells depend on, read from their syntax."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nbmlops.execution.file_hashes import Digests
from nbmlops.tracking.provenance.dataflow.syntax import parse
from nbmlops.tracking.provenance.magics import magic_calls, to_python

_SCRIPT = re.compile(r"\s*(?:-\S+\s+)*([^\s-]\S*)")  # in the line of %run
_KIND = "imports 1"


@dataclass(slots=True)
class CodeDependencies:
    """What a piece of code says of itself."""

    modules: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    emitted: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a notebook depends on besides its own cells."""

    files: tuple[Path, ...]
    packages: tuple[str, ...]
    emitted: frozenset[str]


def dependencies_of(code: str) -> CodeDependencies:
    r"""Return what a cell imports, runs and emits.

    >>> dependencies_of("import numpy as np\nfrom .a import b").modules
    ['numpy', '.a', '.a.b']
    """
    return _read_facts(to_python(code))


def _read_facts(code: str) -> CodeDependencies:
    facts = CodeDependencies()
    tree = parse(code)
    for name, line in magic_calls(tree) if tree else ():
        script = _SCRIPT.match(line) if name == "run" else None
        facts.files += [script[1]] if script else []
    for node in ast.walk(tree) if tree else ():
        match node:
            case ast.Import(names=names):
                facts.modules += [alias.name for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                base = "." * level + (module or "")
                joint = base if base.endswith(".") or not base else f"{base}."
                facts.modules += [
                    base,
                    *(joint + a.name for a in names if a.name != "*"),
                ]
            case ast.Call():
                _read_call(node, facts)
    return facts


def _read_call(node: ast.Call, facts: CodeDependencies) -> None:
    name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
    texts = [
        each.value
        for each in node.args
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
    if name == "emit":
        facts.emitted += [each.arg or "*" for each in node.keywords]
        facts.emitted += ["*"] * bool(node.args)
    elif name in ("import_module", "__import__"):
        facts.modules += texts[:1]
    elif name in ("append", "insert") and "sys.path" in ast.unparse(node.func):
        facts.paths += texts


def read_imports(
    sources: Iterable[str], *, folder: Path, project: Path, digests: Digests
) -> Imported:
    """Return what the cells of a notebook depend on.

    A module counts as the project's when it is found below the project's folder: in the
    notebook's folder, in one that the cells add to ``sys.path``, or in one of this
    Python's path. What is imported by a name made at run time is not seen.
    """
    return _Search(folder, project, digests).read(
        [dependencies_of(each) for each in sources]
    )


class _Search:
    def __init__(self, folder: Path, project: Path, digests: Digests) -> None:
        self._folder, self._project, self._digests = folder, project, digests
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        places = [Path(each) for each in dict.fromkeys([*given, *sys.path]) if each]
        self._places = [folder, *(p for p in places if self._is_own(p))]
        self._files: dict[Path, None] = {}
        self._packages: set[str] = set()
        self._emitted: set[str] = set()

    def read(self, cells: Sequence[CodeDependencies]) -> Imported:
        for cell in cells:
            self._places += [
                place
                for text in cell.paths
                if self._is_own(place := Path(os.path.normpath(self._folder / text)))
            ]
        waiting: list[tuple[CodeDependencies, Path | None]] = [
            (cell, None) for cell in cells
        ]
        while waiting:
            facts, file = waiting.pop()
            self._emitted.update(facts.emitted)
            found = [self._folder / name for name in facts.files]
            for name in facts.modules:
                found += self._find(name, file)
            for path in found:
                path = Path(os.path.normpath(path))
                if path not in self._files and self._is_own(path) and path.is_file():
                    self._files[path] = None
                    waiting.append((self._facts(path), path))
        return Imported(
            files=tuple(sorted(self._files)),
            packages=tuple(sorted(self._packages)),
            emitted=frozenset(self._emitted),
        )

    def _facts(self, path: Path) -> CodeDependencies:
        found = self._digests.derived(
            path, _KIND, _dependencies_of_file, _are_dependencies
        )
        return CodeDependencies(**found)

    def _find(self, name: str, file: Path | None) -> list[Path]:
        """Return the files that importing a name runs, where they are the project's."""
        plain = name.lstrip(".")
        level = len(name) - len(plain)
        parts = plain.split(".") if plain else []
        if level:
            if file is None:
                return []
            base = file.parents[min(level, len(file.parents)) - 1]
            return [base / "__init__.py", *_walk(base, parts)]
        for place in self._places:
            found = _walk(place, parts)
            if found or any((place / parts[0]).glob("*.py")):
                return found
        if parts[0] not in sys.stdlib_module_names:
            self._packages.add(parts[0])
        return []

    def _is_own(self, path: Path) -> bool:
        inside = path.is_relative_to(self._project)
        below = path.relative_to(self._project).parts if inside else ()
        own = ("site-packages", ".nbmlops")
        return inside and not any(each in below for each in own) and path != _ME


_ME = Path(__file__).parents[2]
"""The folder nbmlops is imported from: it counts as a package, by its version."""


def _walk(place: Path, parts: Sequence[str]) -> list[Path]:
    """Return the files of ``a``, ``a.b`` and ``a.b.c`` that are there."""
    found = []
    for part in parts:
        inside, module = place / part / "__init__.py", place / f"{part}.py"
        if inside.is_file():
            found.append(inside)
        elif module.is_file():
            return [*found, module]
        place = place / part
    return found


def _are_dependencies(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == asdict(CodeDependencies()).keys()
        and all(isinstance(each, list) for each in value.values())
        and all(isinstance(name, str) for each in value.values() for name in each)
    )


def _dependencies_of_file(path: Path) -> dict[str, list[str]]:
    return asdict(_read_facts(path.read_bytes().decode("utf-8", "replace")))
