"""A notebook's own code as a module, which another process can import."""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import symtable
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from nbmlops.errors import UsageError

MAIN = "__main__"
PREFIX = "notebook_code_"
_LITERALS = (type(None), bool, int, float, complex, str, bytes, dict, list, set, tuple)


def write_module(names: Iterable[str]) -> tuple[str, str]:
    """Return a module that defines names of ``__main__``: its name and its code.

    It is imported here, as another process will.
    """
    source = _source_for(names)
    name = PREFIX + hashlib.sha256(source.encode()).hexdigest()[:12]
    if name not in sys.modules:
        module = ModuleType(name)
        file = f"<{name}>"
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        sys.modules[name] = module
        try:
            exec(compile(source, file, "exec"), vars(module))  # noqa: S102 - the user's
        except BaseException:
            del sys.modules[name]
            raise
    return name, source


def _source_for(names: Iterable[str]) -> str:
    """Return a module that defines names of ``__main__``, with all that they use."""
    main = vars(sys.modules[MAIN])
    seen: set[str] = set()
    imports: list[str] = []
    lines: list[str] = []

    def visit(name: str, user: str) -> None:
        if name in seen or name not in main:
            return  # built in, or it will be missed as it is here
        seen.add(name)
        value = main[name]
        alias = "" if name == getattr(value, "__name__", "") else f" as {name}"
        if isinstance(value, ModuleType):
            imports.append(f"import {value.__name__}{alias}")
        elif isinstance(value, FunctionType | type) and value.__module__ == MAIN:
            source = _source_of(value)
            for used in sorted(_globals_of(symtable.symtable(source, name, "exec"))):
                visit(used, name)
            lines.append(f"\n\n{source}")
        elif _is_importable(value):
            imports.append(f"from {value.__module__} import {value.__name__}{alias}")
        elif _is_literal(value):
            lines.append(f"\n{name} = {value!r}")
        else:
            raise UsageError(
                f"{user} uses {name}, a {type(value).__name__}, which cannot be "
                "written into a module.",
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
    if type(value) not in _LITERALS:
        return False
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
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


def _globals_of(table: symtable.SymbolTable) -> set[str]:
    """Return the global names that a definition uses, at any depth."""
    is_top = table.get_type() == "module"
    own = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_global() or (is_top and symbol.is_referenced())
    }
    return own.union(*map(_globals_of, table.get_children()))
