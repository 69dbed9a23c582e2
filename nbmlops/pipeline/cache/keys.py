"""What a step's result depends on: its key, and what changed since the last one."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from nbmlops._hashing import code_hash
from nbmlops.entities import Step
from nbmlops.errors import NotFoundError
from nbmlops.execution.file_hashes import Digests, read_record, write_record
from nbmlops.execution.kernels import kernel_of, read_kernel
from nbmlops.execution.notebooks.code_dependencies import read_imports
from nbmlops.execution.notebooks.notebook import code_sources, language, read_quickly
from nbmlops.pipeline.spec.globs import PathPattern
from nbmlops.secrets import Secret

_FORMAT = 1
_RECORDS = (".dist-info", ".egg-info", ".egg", "EGG-INFO")
Parts = dict[str, dict[str, str]]
"""By kind, then by name: digests and versions."""

_WORDS = {
    "code": "code",
    "params": "param {}",
    "inputs": "input {}",
    "modules": "module {}",
    "environment": "environment: {}",
    "outputs": "the declared outputs",
    "upstream": "step {}",
    "action": "{}",
    "once": "its name",
}


class Keys:
    """Finds the parts of the keys of a pipeline's steps."""

    def __init__(self, folder: Path, project: Path, home: Path) -> None:
        self._folder, self._project, self._home = folder, project, home
        self.digests = Digests(home / "cache" / "digests")
        self._kernels: dict[str, tuple[dict[str, Any], Packages]] = {}

    def parts(
        self,
        step: Step,
        params: Mapping[str, object],
        *,
        upstream: Mapping[str, str],
        made: Mapping[str, str] | None = None,
        gone: Collection[Path] = (),
        step_id: str = "",
    ) -> Parts:
        """Return the parts of a step's key."""
        if step.action is not None:
            options = {
                name: _canonical(each) for name, each in step.action.options.items()
            }
            options |= {"kind": step.action.kind, "source": step.action.source or ""}
            options |= {f"the {name} of it": str(each) for name, each in params.items()}
            return {"action": options, "upstream": dict(upstream)}
        path = self._folder / str(step.notebook)
        try:
            return {
                **self._of_notebook(path, step.kernel),
                "params": {name: _digest(params[name]) for name in params},
                "inputs": dict(sorted(self._inputs(step, made or {}, gone))),
                "outputs": dict.fromkeys(sorted(step.outputs), ""),
                "upstream": dict(upstream),
                **({"once": {"": step_id}} if step.once else {}),
            }
        except FileNotFoundError as error:
            raise NotFoundError(
                f"{error.filename} of step {step.name!r} is gone.",
                fix="Run it again when nobody moves the files meanwhile.",
            ) from error

    def _of_notebook(self, path: Path, kernel_name: str | None) -> Parts:
        notebook = read_quickly(path)
        sources = code_sources(notebook)
        kernel, packages = self._kernel(kernel_of(notebook, kernel_name))
        environment = {
            "kernel": _canonical([kernel["argv"][1:], kernel.get("env", {})])
        }
        if kernel["argv"][0] == sys.executable:
            environment["python"] = platform.python_version()
        else:
            environment["python"] = str(kernel["argv"][0])
        modules: dict[str, str] = {}
        if language(notebook).lower() == "python":
            imported = read_imports(
                sources, folder=path.parent, project=self._project, digests=self.digests
            )
            environment |= packages.versions(imported.packages)
            modules = {self._named(f): self.digests.sha256(f) for f in imported.files}
        return {
            "code": {"": code_hash(sources)},
            "modules": modules,
            "environment": environment,
        }

    def _kernel(self, name: str) -> tuple[dict[str, Any], Packages]:
        if name not in self._kernels:
            spec = read_kernel(name)
            folder = self._home / "cache" / "packages"
            self._kernels[name] = (spec, Packages(folder, spec))
        return self._kernels[name]

    def _named(self, path: Path) -> str:
        return Path(os.path.relpath(path, self._folder)).as_posix()

    def _inputs(
        self, step: Step, made: Mapping[str, str], gone: Collection[Path]
    ) -> Iterator[tuple[str, str]]:
        paths = {Path(os.path.normpath(self._folder / name)): name for name in made}
        for text in step.inputs:
            pattern = PathPattern(self._folder, text, made=paths)
            for path, name in paths.items():
                if pattern.fits(path):
                    yield name, made[name]
            for path in pattern.files():
                if path not in paths and path not in gone:
                    yield self._named(path), self.digests.sha256(path)


def key_of(parts: Parts) -> str:
    """Return the key of a step's result: 64 hexadecimal digits.

    >>> len(key_of({"code": {"": "ab"}}))
    64
    """
    text = json.dumps([_FORMAT, parts], sort_keys=True)
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def changes(before: Parts, after: Parts) -> str:
    """Return in words what differs between the parts of two keys.

    >>> changes({"params": {"C": "1"}}, {"params": {"C": "2"}})
    'param C changed'
    """
    found = []
    for kind, form in _WORDS.items():
        old, new = before.get(kind, {}), after.get(kind, {})
        for name in sorted({*old, *new}):
            if old.get(name) == new.get(name):
                continue
            if kind == "environment" and name != "kernel":
                versions = f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}"
                found.append(form.format(versions))
                continue
            verb = "is new" if name not in old else "is gone"
            verb = "changed" if name in old and name in new else verb
            found.append(f"{form.format(name)} {verb}")
    shown = list(dict.fromkeys(found))
    rest = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return ", ".join(shown[:3]) + rest


def _canonical(value: object) -> str:
    """Return a text that is the same for equal values of the same types."""
    match value:
        case Secret():
            return value.reference
        case dict():
            inside = (f"{name!r}:{_canonical(value[name])}" for name in sorted(value))
            return f"{{{','.join(inside)}}}"
        case list() | tuple():
            marks = "[]" if isinstance(value, list) else "()"
            return f"{marks[0]}{','.join(map(_canonical, value))}{marks[1]}"
    item = getattr(value, "item", None)  # a NumPy scalar
    return repr(item() if callable(item) else value)


def _digest(value: object) -> str:
    text = _canonical(value)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Packages:
    """The packages that are installed for a kernel's Python."""

    def __init__(self, folder: Path, kernel: Mapping[str, Any]) -> None:
        installed = {
            path: _installed(path) for path in _folders(str(kernel["argv"][0]))
        }
        there = {path: names for path, names in installed.items() if names}
        digest = sha256(repr(there).encode()).hexdigest()
        self._table = _table(folder / f"{digest[:32]}.json", tuple(there))

    def versions(self, modules: Iterable[str]) -> dict[str, str]:
        """Return the versions of the packages that some modules are from."""
        found = [self._table.get(module, {}) for module in modules]
        return {name: version for each in found for name, version in each.items()}


def _folders(python: str) -> list[str]:
    if Path(python).name.startswith("python") and not Path(python).is_absolute():
        python = sys.executable  # jupyter runs its own for a bare name
    if python == sys.executable:
        return sys.path[1:]
    found = Path(python).parent.parent.glob("lib/python3*/site-packages")
    return sorted(map(str, found))


def _installed(path: str) -> list[tuple[str, int]]:
    """Return what changes with every install, and with no other file of a folder."""
    try:
        with os.scandir(path or ".") as entries:
            return sorted(
                (entry.name, entry.stat().st_mtime_ns)
                for entry in entries
                if entry.name.endswith(_RECORDS)
            )
    except OSError:
        return []


@cache
def _table(record: Path, paths: tuple[str, ...]) -> Mapping[str, dict[str, str]]:
    known = read_record(record)
    if isinstance(known, dict):
        return known
    table: dict[str, dict[str, str]] = {}
    for each in distributions(path=list(paths)):
        name, version = each.metadata["Name"], each.version
        for module in _modules(each) if name else ():
            table.setdefault(module, {}).setdefault(name, version)
    with suppress(OSError):
        write_record(record, table)
    return table


def _modules(package: Distribution) -> set[str]:
    """Return the top level names that a package installs."""
    listed = (package.read_text("top_level.txt") or "").split()
    files = package.files or ()
    tops = {file.parts[0].removesuffix(".py") for file in files if file.suffix == ".py"}
    tops |= {file.parts[0].partition(".")[0] for file in files if file.suffix == ".so"}
    return {top for top in (*listed, *tops) if top.isidentifier()}
