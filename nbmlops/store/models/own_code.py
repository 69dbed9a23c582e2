"""Code of the user's own that a model holds: what is stored of it, and what may run.

A model that holds a function or a class of a module that nbmlops does not know can be
loaded only by running that module. The user says which modules may, with
``[tool.nbmlops.models] trust``, or ``trust=True`` for all that one model holds. The
files of own modules are stored below ``code/`` in the model's folder, as MLflow does;
of installed packages, the version. What a notebook defines is written out as a module.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import pickle
import re
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from nbmlops._masking import mask
from nbmlops.errors import UsageError
from nbmlops.store.models import notebook_code
from nbmlops.store.models.notebook_code import MAIN, PREFIX

FOLDER = "code"
Trust = tuple[str, ...]
"""Modules whose code may run: ``__main__`` is a notebook's own, ``*`` any."""
ANY: Trust = ("*",)

_NOT_STORED = (MAIN, "nbmlops")
_LARGE = ("numpy", "scipy", "sklearn")  # too much in them runs what it is given
_SETTING = "[tool.nbmlops.models] trust = [{}] in pyproject.toml"


@dataclass(slots=True)
class OwnCode:
    """What is stored of the user's code with a model."""

    files: dict[str, bytes] = field(default_factory=dict)
    packages: set[str] = field(default_factory=set)
    notebook: str = ""

    @property
    def source(self) -> str:
        """The module that was written from the notebook."""
        return self.files.get(f"{self.notebook}.py", b"").decode()

    def distributions(self) -> set[str]:
        """Return the distributions of the packages."""
        owners = packages_distributions() if self.packages else {}
        return {owner for name in self.packages for owner in owners.get(name, ())[:1]}


def is_trusted(name: str, trust: Trust) -> bool:
    """Return whether the user lets code of this full name run.

    >>> [is_trusted("shop.parts.half", t) for t in (("shop",), ("sho",), (), ANY)]
    [True, False, False, True]
    """
    if name.startswith(PREFIX):
        name = MAIN
    return "*" in trust or any(f"{name}.".startswith(f"{each}.") for each in trust)


def collect(names: Iterable[str]) -> OwnCode:
    """Return what to store so that another process can import these names."""
    code = OwnCode()
    listed = list(names)
    own = {name.split(".")[1] for name in listed if name.startswith(f"{MAIN}.")}
    if own:
        code.notebook, source = notebook_code.write_module(sorted(own))
        code.files[f"{code.notebook}.py"] = source.encode()
    waiting = [_parent(name) for name in listed]
    waiting += _imported(code.source, "")
    seen = {""}
    while waiting:
        name = waiting.pop()
        root = name.partition(".")[0]
        if name in seen or root in sys.stdlib_module_names or root in _NOT_STORED:
            continue
        seen.add(name)
        file = _file_of(name)
        if file is not None and _is_installed(file):
            code.packages.add(root)
            continue
        waiting.append(_parent(name))
        if file is not None:
            is_package = file.name == "__init__.py"
            path = name.replace(".", "/") + ("/__init__.py" if is_package else ".py")
            code.files[path] = file.read_bytes()
            text = code.files[path].decode("utf-8", "replace")
            waiting += _imported(text, name if is_package else _parent(name))
    for path, content in code.files.items():
        text = content.decode("utf-8", "replace")
        if mask(text) != text:
            where = "The notebook's code" if path == f"{code.notebook}.py" else path
            raise UsageError(
                f"{where} holds a secret, and would be stored with the model.",
                fix="Read it from the environment, or with nm.secret.",
            )
    return code


def refusal(
    model: str, names: Collection[str], *, is_loaded: bool = False
) -> UsageError:
    """Return the error that a model holds what the user has not allowed to run."""
    modules = {_parent(name) for name in names}
    notebook = {m for m in modules if m == MAIN or m.startswith(PREFIX)}
    roots = {m.partition(".")[0] for m in modules - notebook}
    given = sorted(roots | ({MAIN} if notebook else set()))
    setting = _SETTING.format(", ".join(f'"{root}"' for root in given))
    risk = f"{', '.join(sorted(names))}, which could run any code when it is loaded."
    if is_loaded:
        return UsageError(
            f"{model} holds {risk}",
            fix=f"If you trust that code, set {setting}, or deploy with trust=True.",
        )
    by_hand = "%%track --trust, run.log_model(model, X, trust=True)."
    fix = f"If you trust that code, set {setting}, or store this model with {by_hand}"
    if roots & {*sys.stdlib_module_names, *_LARGE}:
        fix = (
            "Build it of scikit-learn's own classes and numpy's functions, or of "
            "functions of your own that call those."
        )
    elif nameless := sorted(n for n in names if not is_found(n)):
        risk = f"{', '.join(nameless)}, which no other process can find by that name."
        fix = (
            "Define it by def or class at the top of a module or cell, not as a lambda "
            "or inside of a function."
        )
    elif notebook:
        own = ", ".join(n.rpartition(".")[2] for n in names if n.startswith(MAIN))
        helpers = _SETTING.format('"helpers"')
        fix = (
            f"Move {own} into a module, say helpers.py, import it from there and set "
            f"{helpers}; or store the notebook's own code with the model: {by_hand}"
        )
    problem = f"{model} cannot be stored without pickle: it holds {risk}"
    return UsageError(problem, fix=fix)


def refuse_old_code(model: object) -> None:
    """Refuse a model that holds a function or class which has been defined anew since.

    It would be stored by its name, and be another one where it is loaded.
    """
    try:
        with Path(os.devnull).open("wb") as nowhere:
            pickle.Pickler(nowhere).dump(model)
    except pickle.PicklingError as error:
        if found := re.search(r"not the same object as ([\w.]+)", str(error)):
            raise UsageError(
                f"The model holds an older {found[1]} than the one that is defined "
                "now.",
                fix="Fit the model again.",
            ) from None
    except Exception:  # noqa: BLE001, S110 - what else pickle minds does not matter
        pass


def is_found(name: str) -> bool:
    """Return whether a full name, of a method too, leads to something here."""
    module = _parent(name)
    while module and module not in sys.modules:
        module = _parent(module)
    found: Any = sys.modules.get(module)
    return found is None or hasattr(found, name[len(module) + 1 :].partition(".")[0])


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def allow_imports(folder: Path) -> None:
    """Let the modules that are stored with a model be imported, before others."""
    code = str(folder / FOLDER)
    if Path(code).is_dir() and code not in sys.path:
        sys.path.insert(0, code)


def _file_of(name: str) -> Path | None:
    """Return the Python file of a module; None when it has none."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin) if spec and spec.has_location and spec.origin else None


def _is_installed(file: Path) -> bool:
    return file.suffix != ".py" or any(map(_holds_packages, file.parents))


@cache
def _holds_packages(folder: Path) -> bool:
    """Return whether packages are installed in a folder, wherever that is."""
    keys = ("stdlib", "platstdlib", "purelib", "platlib")
    known = {sysconfig.get_path(key) for key in keys}
    return str(folder) in known or any(folder.glob("*.dist-info"))


def _imported(source: str, package: str) -> Iterator[str]:
    """Yield the modules that code may import, at any depth."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):  # a file that nothing has imported yet
        return
    for node in nodes:
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                parents = package.split(".")[: 1 - level or None] if level else []
                base = ".".join(filter(None, [*parents, module]))
                yield base
                # What is imported from a package may be one of its modules.
                yield from (f"{base}.{each.name}" for each in names)
