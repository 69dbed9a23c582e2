"""Versions of the packages that a kernel imports, without importing any."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from nbmlops.execution.file_hashes import read_record, write_record

_RECORDS = (".dist-info", ".egg-info", ".egg", "EGG-INFO")


class Packages:
    """The packages that are installed for a kernel's Python."""

    def __init__(self, folder: Path, kernel: Mapping[str, Any]) -> None:
        installed = {
            path: _installed(path) for path in _folders(str(kernel["argv"][0]))
        }
        there = {path: names for path, names in installed.items() if names}
        digest = hashlib.sha256(repr(there).encode()).hexdigest()
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
