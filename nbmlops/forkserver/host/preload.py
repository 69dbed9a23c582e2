"""What the parent imports, and what it has to leave to the runs."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .threads import n_threads

_CUDA = "a device that its parent has opened is closed to a forked process"
_THREADS = "it starts threads, which a forked process does not have"
UNFIT = {
    "cudf": _CUDA,
    "cupy": _CUDA,
    "grpc": _THREADS,
    "h2o": "it talks to a process of its own",
    "jax": _THREADS,
    "jpype": "it runs a Java machine in the process",
    "keras": _THREADS,
    "polars": _THREADS,
    "py4j": "it talks to a process of its own",
    "pyspark": "it talks to a process of its own",
    "ray": "it talks to processes of its own",
    "tensorflow": _THREADS,
    "tkinter": "it opens a window",
    "torch": _CUDA,
}
"""Packages that are imported in each run, and why."""


_ANY = (
    *("TERM", "COLUMNS", "LINES", "PYTEST_", "JPY_", "NBMLOPS_", "MLFLOW_", "_MLFLOW_"),
    "MPLBACKEND",  # the kernel itself sets it
)


class Unfit(Exception):  # noqa: N818 - the module's, not the program's
    """A module was imported that the parent should not have."""


class Preload:
    """The modules that the parent imports for its runs."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "unfit.json"
        self._unfit: dict[str, str] = dict(UNFIT)
        if self._file.exists():
            self._unfit |= json.loads(self._file.read_text("utf-8"))
        if _is_without_cuda("torch"):
            del self._unfit["torch"]
        self.loaded: list[str] = []
        self._known: set[str] = set()
        self._seen: dict[str, tuple[int, int]] = {}
        self._n_noted = 0
        self._packages = _package_folders()
        self._installed = self._packages + _library_folders()
        self._read: set[str] = set()
        self._environ = dict(os.environ)

    def load(self, modules: list[str], *, installed_only: bool = True) -> None:
        """Import those of some modules that are fit for it."""
        for name in modules:
            if name in self._known or name in sys.modules:
                continue
            self._known.add(name)
            top = name.partition(".")[0]
            is_there = not installed_only or self._is_installed(top)
            if top not in self._unfit and is_there:
                self._import(name)

    def _import(self, name: str) -> None:
        said = os.fstat(1).st_size
        with self.noting_variables():
            try:
                importlib.import_module(name)
            except BaseException:  # noqa: BLE001 - the cell that imports it will say so
                return
        self.loaded.append(name)
        unfit = [each for each in self._unfit if each in sys.modules]
        why = f"it loads {unfit[0]}: {self._unfit[unfit[0]]}" if unfit else ""
        if n_threads() > 1:
            why = _THREADS
        elif os.fstat(1).st_size != said:
            why = "it says something when it is imported"
        if why:
            found = {k: v for k, v in self._unfit.items() if UNFIT.get(k) != v}
            self._file.write_text(json.dumps(found | {name.partition(".")[0]: why}))
            raise Unfit(f"{name} is left to the runs: {why}")

    @contextmanager
    def noting_variables(self) -> Iterator[None]:
        """Note the variables that are read by name; a copy of all reads none."""
        kind = os._Environ
        read, walk = kind.__getitem__, kind.__iter__
        copied: list[str] = []

        def getitem(environ: Any, name: Any) -> Any:  # noqa: ANN401
            if [name] != copied and isinstance(name, str):
                self._read.add(name)
            return read(environ, name)

        def iterate(environ: Any) -> Iterator[Any]:  # noqa: ANN401
            for name in walk(environ):
                copied[:] = [name]
                yield name
            copied.clear()

        kind.__getitem__, kind.__iter__ = getitem, iterate  # type: ignore[method-assign]
        try:
            yield
        finally:
            kind.__getitem__, kind.__iter__ = read, walk  # type: ignore[method-assign]

    def read_otherwise(self, environ: Mapping[str, str]) -> str | None:
        """Return a variable that imports have read and that has another value now."""
        return next(
            (
                name
                for name in sorted(self._read)
                if not name.startswith(_ANY)
                and environ.get(name)
                not in (self._environ.get(name), self.added.get(name))
            ),
            None,
        )

    @property
    def added(self) -> dict[str, str]:
        """What imports have set in the environment."""
        return {
            name: value
            for name, value in os.environ.items()
            if self._environ.get(name) != value and not name.startswith(_ANY)
        }

    def _is_installed(self, top: str) -> bool:
        """Return whether a package is not one of somebody's working folder."""
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError, AttributeError):
            return False
        if spec is None:
            return False
        places = [spec.origin or "", *(spec.submodule_search_locations or ())]
        if spec.origin in ("built-in", "frozen"):
            return True
        return any(place.startswith(self._installed) for place in places if place)

    def note_files(self) -> None:
        """Remember how the files are that were loaded and may be edited."""
        if len(sys.modules) == self._n_noted:
            return
        self._n_noted = len(sys.modules)
        for module in tuple(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if not path or path in self._seen or path.startswith(self._installed):
                continue
            self._seen[path] = _state(path)

    def edited(self) -> str | None:
        """Return a loaded file that is not as it was when it was loaded."""
        return next(
            (path for path, state in self._seen.items() if _state(path) != state), None
        )

    def hidden_by(self, folder: Path) -> str | None:
        """Return a file that an import from ``folder`` would find first."""
        try:
            entries = tuple(os.scandir(folder))
        except OSError:
            return None
        for entry in entries:
            top, _, ending = entry.name.partition(".")
            module = sys.modules.get(top)
            place = getattr(module, "__file__", None) or ""
            if not place.startswith(self._packages):
                continue
            if ending.endswith(("py", "so")) or Path(entry, "__init__.py").exists():
                return entry.name
        return None


def _package_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    found = {paths["purelib"], paths["platlib"], *site.getsitepackages()}
    return tuple(
        f"{path.rstrip('/')}/" for path in (*found, site.getusersitepackages())
    )


def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(f"{paths[name].rstrip('/')}/" for name in ("stdlib", "platstdlib"))


def _state(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - a hundred of them before each run
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _is_without_cuda(package: str) -> bool:
    try:
        return version(package).endswith("+cpu")
    except PackageNotFoundError:
        return False
