"""Code of the user's own that a model holds: what is stored of it, and what may run.

A model that holds a function or a class of a module that nbmlops does not know can be
loaded only by running that module. The user says which modules may, with
``[tool.nbmlops.models] trust``, or ``trust=True`` for all that one model holds. The
files of own modules are stored below ``code/`` in the model's folder, as MLflow does;
of installed packages, the version. What a notebook defines is written out as a module.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import linecache
import pickle
import re
import symtable
import sys
import sysconfig
import textwrap
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from nbmlops._masking import mask
from nbmlops.errors import UsageError

FOLDER = "code"
Trust = tuple[str, ...]
"""Modules whose code may run: ``__main__`` is a notebook's own, ``*`` any."""
ANY: Trust = ("*",)

_MAIN = "__main__"
_WRITTEN = "notebook_code_"
_NOT_STORED = (_MAIN, "nbmlops")
_LARGE = ("numpy", "scipy", "sklearn")  # too much in them runs what it is given
_LITERALS = (type(None), bool, int, float, complex, str, bytes)
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
    if name.startswith(_WRITTEN):
        name = _MAIN
    return "*" in trust or any(f"{name}.".startswith(f"{each}.") for each in trust)


def collect(names: Iterable[str]) -> OwnCode:
    """Return what to store so that another process can import these names."""
    code = OwnCode()
    listed = list(names)
    own = {name.split(".")[1] for name in listed if name.startswith(f"{_MAIN}.")}
    if own:
        source = _write_module(sorted(own))
        code.notebook = _WRITTEN + hashlib.sha256(source.encode()).hexdigest()[:12]
        code.files[f"{code.notebook}.py"] = source.encode()
        _import_written(code.notebook, source)
    waiting = [name.rpartition(".")[0] for name in listed]
    waiting += _imported(code.source, "")
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        root = name.partition(".")[0]
        if name in seen or root in sys.stdlib_module_names or root in _NOT_STORED:
            continue
        seen.add(name)
        file = _file_of(name)
        if file is None:
            waiting += [parent] if (parent := name.rpartition(".")[0]) else []
        elif _is_installed(file):
            code.packages.add(root)
        else:
            path = name.replace(".", "/")
            is_package = file.name == "__init__.py"
            path += "/__init__.py" if is_package else ".py"
            code.files[path] = file.read_bytes()
            text = code.files[path].decode("utf-8", "replace")
            waiting += _imported(text, name if is_package else name.rpartition(".")[0])
            waiting += [parent] if (parent := name.rpartition(".")[0]) else []
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
    listed = ", ".join(sorted(names))
    modules = {n.rpartition(".")[0] for n in names}
    notebook = {m for m in modules if m == _MAIN or m.startswith(_WRITTEN)}
    roots = {m.partition(".")[0] for m in modules - notebook}
    given = ", ".join(
        f'"{root}"' for root in sorted(roots | ({_MAIN} if notebook else set()))
    )
    setting = _SETTING.format(given)
    if is_loaded:
        return UsageError(
            f"{model} holds {listed}, which could run any code when it is loaded.",
            fix=f"If you trust that code, set {setting}, or deploy with trust=True.",
        )
    if roots & {*sys.stdlib_module_names, *_LARGE}:
        return UsageError(
            f"{model} cannot be stored without pickle: it holds {listed}, which could "
            "run any code when it is loaded.",
            fix="Build it of scikit-learn's own classes and numpy's functions, or of "
            "functions of your own that call those.",
        )
    nameless = sorted(n for n in names if not is_found(n))
    if nameless:
        return UsageError(
            f"{model} cannot be stored without pickle: it holds {', '.join(nameless)}, "
            "which no other process can find by that name.",
            fix="Define it by def or class at the top of a module or cell, not as a "
            "lambda or inside of a function.",
        )
    problem = (
        f"{model} cannot be stored without pickle: it holds {listed}, which could run "
        "any code when it is loaded."
    )
    if notebook:
        own = ", ".join(n.rpartition(".")[2] for n in names if n.startswith(_MAIN))
        return UsageError(
            problem,
            fix=f"Move {own} into a module, say helpers.py, import it from there and "
            "set "
            + _SETTING.format('"helpers"')
            + "; or store the notebook's own code with the model: %%track --trust, "
            "run.log_model(model, X, trust=True).",
        )
    return UsageError(
        problem,
        fix=f"If you trust that code, set {setting}, or store this model with "
        "%%track --trust, run.log_model(model, X, trust=True).",
    )


def refuse_old_code(model: object) -> None:
    """Refuse a model that holds a function or class which has been defined anew since.

    It would be stored by its name, and be another one where it is loaded.
    """
    try:
        pickle.Pickler(_Nowhere()).dump(model)
    except pickle.PicklingError as error:
        if "not the same object" in str(error):
            found = re.search(r"not the same object as ([\w.]+)", str(error))
            raise UsageError(
                f"The model holds an older {found[1] if found else 'function'} than "
                "the one that is defined now.",
                fix="Fit the model again.",
            ) from None
    except Exception:  # noqa: BLE001, S110 - what else pickle minds does not matter
        pass


class _Nowhere:
    def write(self, content: bytes) -> None:
        """Keep nothing."""


def is_found(name: str) -> bool:
    """Return whether a full name, of a method too, leads to something here."""
    module = name.rpartition(".")[0]
    while module and module not in sys.modules:
        module = module.rpartition(".")[0]
    found: Any = sys.modules.get(module)
    return found is None or hasattr(found, name[len(module) + 1 :].partition(".")[0])


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
    if spec is None or not spec.has_location or not spec.origin:
        return None
    return Path(spec.origin)


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
                base = module or ""
                if level:
                    parts = package.split(".")[: len(package.split(".")) - level + 1]
                    base = ".".join([*parts, *([module] if module else [])])
                yield base
                # What is imported from a package may be one of its modules.
                yield from (f"{base}.{each.name}" for each in names)


def _import_written(name: str, source: str) -> None:
    """Make a written module known to this process, as another one will find it."""
    if name in sys.modules:
        return
    module = ModuleType(name)
    file = f"<{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    sys.modules[name] = module
    try:
        exec(compile(source, file, "exec"), vars(module))  # noqa: S102 - the user's own
    except BaseException:
        del sys.modules[name]
        raise


def _write_module(names: Iterable[str]) -> str:
    """Return a module that defines names of ``__main__``, with all that they use."""
    main = vars(sys.modules[_MAIN])
    seen: set[str] = set()
    imports: list[str] = []
    lines: list[str] = []

    def visit(name: str, user: str) -> None:
        if name in seen or name not in main:
            return  # built in, or it will be missed as it is here
        seen.add(name)
        value = main[name]
        kind = type(value)
        if isinstance(value, ModuleType):
            alias = "" if name == value.__name__ else f" as {name}"
            imports.append(f"import {value.__name__}{alias}")
        elif isinstance(value, FunctionType | type) and value.__module__ == _MAIN:
            source = _source_of(value)
            for used in _globals_of(source):
                visit(used, name)
            lines.append(f"\n\n{source}")
        elif _is_importable(value):
            alias = "" if name == value.__name__ else f" as {name}"
            imports.append(f"from {value.__module__} import {value.__name__}{alias}")
        elif _is_literal(value):
            lines.append(f"\n{name} = {value!r}")
        else:
            raise UsageError(
                f"{user} uses {name}, a {kind.__name__}, which cannot be written into "
                "a module.",
                fix=f"Give {name} to {user} as an argument or a param of the model.",
            )

    for name in names:
        visit(name, name)
    return ("\n".join(sorted(imports)) + "".join(lines)).strip() + "\n"


def _is_importable(value: Any) -> bool:  # noqa: ANN401
    name, module = getattr(value, "__name__", None), getattr(value, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        return False
    return getattr(sys.modules.get(module), name, None) is value


def _is_literal(value: object) -> bool:
    if type(value) in _LITERALS:
        return True
    if type(value) is dict:
        return all(_is_literal(each) for pair in value.items() for each in pair)
    if type(value) in (list, tuple, set):
        return all(_is_literal(each) for each in value)  # type: ignore[attr-defined]
    return False


def _source_of(value: Any) -> str:  # noqa: ANN401
    """Return the code that defined a function or class of the notebook."""
    if getattr(value, "__closure__", None):
        raise UsageError(
            f"{value.__name__} uses variables of the function it was defined in, and "
            "cannot be written into a module.",
            fix="Define it at the top of a cell, with what it needs as arguments.",
        )
    try:
        text = textwrap.dedent(inspect.getsource(value))
        ast.parse(text)
    except (OSError, TypeError, SyntaxError):
        text = _class_source(value) if isinstance(value, type) else ""
    if not text:
        raise UsageError(
            f"The code of {value.__name__} is not known any more.",
            fix="Run the cell that defines it again.",
        )
    return f"{text.rstrip()}\n"


def _class_source(cls: type) -> str:
    """Return the code of a class that was defined in a cell, by that of a method."""
    # A transformer's methods are wrapped by scikit-learn.
    functions = (getattr(each, "__func__", each) for each in vars(cls).values())
    plain = [inspect.unwrap(f) for f in functions if isinstance(f, FunctionType)]
    files = [f.__code__.co_filename for f in plain if isinstance(f, FunctionType)]
    cells = [each for each in reversed([*linecache.cache]) if not Path(each).exists()]
    for file in dict.fromkeys([*files, *cells]):
        lines = linecache.getlines(file)
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError:
            continue
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                starts = [node.lineno, *(each.lineno for each in node.decorator_list)]
                return "".join(lines[min(starts) - 1 : node.end_lineno])
    return ""


def _globals_of(source: str) -> list[str]:
    """Return the global names that a definition uses."""
    found: dict[str, None] = {}
    waiting = [symtable.symtable(source, "<cell>", "exec")]
    while waiting:
        table = waiting.pop()
        is_top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_global() or (is_top and symbol.is_referenced()):
                found[symbol.get_name()] = None
        waiting.extend(table.get_children())
    return sorted(found)
