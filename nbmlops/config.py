"""Where a project is, and its settings."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from nbmlops.errors import UsageError, did_you_mean
from nbmlops.secrets import is_reference

_MARKERS = (".nbmlops", ".git", "pyproject.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What the project's machine takes: ``[tool.nbmlops.cost]``."""

    usd_per_hour: float | None = None
    watts: float | None = None
    watts_per_core: float | None = None
    kg_co2_per_kwh: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """How notebooks are run in forks of a process: ``[tool.nbmlops.warm]``."""

    preload: tuple[str, ...] = ()
    idle_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Where results of steps are kept for others, too: ``[tool.nbmlops.cache]``."""

    url: str | None = field(default=None, repr=False)  # may hold a password
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dask:
    """Where ``engine="dask"`` runs steps: ``[tool.nbmlops.dask]``."""

    address: str | None = None
    cluster: str | None = None
    workers: int | None = None


class Folders(tuple[str, ...]):
    """Paths of folders, as given."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What models may hold: ``[tool.nbmlops.models]``."""

    trust: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What nbmlops needs to know about where it runs."""

    project: Path
    tracking_uri: str | None = field(default=None, repr=False)  # may hold a password
    experiment: str = ""
    deploy_timeout_s: float = 60.0
    max_request_bytes: int = 10_000_000
    data_folders: Folders = field(default_factory=Folders)
    cost: Prices = field(default_factory=Prices)
    warm: Warm = field(default_factory=Warm)
    cache: Shared = field(default_factory=Shared)
    dask: Dask = field(default_factory=Dask)
    models: Models = field(default_factory=Models)

    @property
    def home(self) -> Path:
        """The folder of all that nbmlops itself keeps for this project."""
        return self.project / ".nbmlops"

    @property
    def readable(self) -> tuple[Path, ...]:
        """The project, and the other folders that steps may read from."""
        others = (self.project / Path(each).expanduser() for each in self.data_folders)
        return (self.project, *(Path(os.path.normpath(each)) for each in others))


Kind = type[float] | type[int] | type[str] | type[tuple[str, ...]] | type[Folders]
Value = float | int | str | tuple[str, ...]
Options = Mapping[str, Kind]
"""Names of settings, and what their values are."""

_KINDS: dict[str, Kind] = {"float": float, "int": int, "str": str, "tuple": tuple}
_KINDS["Folders"] = Folders
_TABLES: dict[str, type] = {
    "cost": Prices,
    "warm": Warm,
    "cache": Shared,
    "dask": Dask,
    "models": Models,
}


def _options(table: type) -> Options:
    found = ((each.name, re.split(r"\W", str(each.type))[0]) for each in fields(table))
    return {name: _KINDS[kind] for name, kind in found if kind in _KINDS}


_OPTIONS: dict[str, Options] = {
    "": {k: v for k, v in _options(Settings).items() if k != "tracking_uri"},
    **{f"{name}.": _options(table) for name, table in _TABLES.items()},
}
"""By what their names begin with."""
_SECRETS = frozenset({"cache.key"})
"""Settings that name a secret; its value, which variables hold, is not read here."""


def find_project(start: Path) -> Path:
    """Return the nearest folder at or above ``start`` that marks a project."""
    start = start.absolute()
    folders = (start, *start.parents)
    for marker in _MARKERS:
        for folder in folders:
            if (folder / marker).exists():
                return folder
    return start


def load_settings(
    start: Path | None = None, *, environ: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings of the project around ``start``."""
    project, found = _find(start, os.environ if environ is None else environ)
    given: dict[str, Any] = {name: value for name, (value, _) in found.items()}
    tables: dict[str, dict[str, Any]] = {name: {} for name in _TABLES}
    for name in tuple(given):
        table, dot, option = name.partition(".")
        if dot:
            tables[table][option] = given.pop(name)
    return Settings(
        project=project,
        **{name: _TABLES[name](**table) for name, table in tables.items()},
        **given,
    )


def explain_settings(
    start: Path | None = None, *, environ: Mapping[str, str] | None = None
) -> tuple[tuple[str, object, str], ...]:
    """Return every setting, its value and where that came from."""
    project, found = _find(start, os.environ if environ is None else environ)
    marker = next((m for m in _MARKERS if (project / m).exists()), "working folder")
    settings = load_settings(start, environ=environ)
    defaults: dict[str, object] = {
        each.name: getattr(settings, each.name) for each in fields(Settings)
    }
    for table in _TABLES:
        defaults.pop(table)
    given = {name: value for name, (value, _) in found.items()}
    origins = {"project": marker} | {
        name: origin for name, (_, origin) in found.items()
    }
    return tuple(
        (name, value, origins.get(name, "default"))
        for name, value in (defaults | given).items()
    )


Found = dict[str, tuple[Value, str]]
"""Settings that were given, and where."""


def _find(start: Path | None, environ: Mapping[str, str]) -> tuple[Path, Found]:
    """Return the project, and each setting that was given, with where."""
    project = find_project(start or Path.cwd())
    table = _read_table(project / "pyproject.toml")
    tables: dict[str, Any] = {name: table.pop(name, {}) for name in _TABLES}
    for name, below in tables.items():
        if not isinstance(below, dict):
            raise UsageError(
                f"[tool.nbmlops] {name} is {below!r}, not a table.",
                fix=f"Write [tool.nbmlops.{name}] in {project}/pyproject.toml.",
            )
    found: Found = {
        "experiment": (project.name or "default", "name of the project's folder")
    }
    for prefix, options in _OPTIONS.items():
        given = tables[prefix[:-1]] if prefix else table
        where = f"tool.nbmlops.{prefix}"[:-1]
        for name, value in _checked(given, options, where, project).items():
            if prefix + name in _SECRETS and not is_reference(str(value)):
                raise UsageError(
                    f"[{where}] {name} is not the name of a secret.",
                    fix=f'Write {name} = "secret:NAME" and set NAME in the environment '
                    "or the keyring.",
                )
            found[prefix + name] = (value, "pyproject.toml")
    # MLflow exports the address that it is given: the embedded store's is the default.
    own = f"sqlite:///{(project / '.nbmlops' / 'mlflow.db').as_posix()}"
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI"):
        if environ.get(name) and environ[name] != own:
            known = name.removeprefix("MLFLOW_").removesuffix("_NAME").lower()
            found[known] = (environ[name], name)
    for prefix, options in _OPTIONS.items():
        for name, kind in options.items():
            variable = f"NBMLOPS_{prefix}{name}".replace(".", "_").upper()
            if environ.get(variable) and prefix + name in _SECRETS:
                found[prefix + name] = (f"secret:{variable}", variable)
            elif environ.get(variable):
                value = _convert(kind, environ[variable], variable)
                found[prefix + name] = (value, variable)
    return project, found


def _checked(
    table: Mapping[str, object], options: Options, where: str, project: Path
) -> dict[str, Value]:
    for name in table:
        if name not in options:
            raise UsageError(
                f"Unknown setting {name!r} in [{where}].{did_you_mean(name, options)}",
                fix=f"Use one of {', '.join(options)} in {project}/pyproject.toml.",
            )
    return {
        name: _convert(options[name], value, f"[{where}] {name}")
        for name, value in table.items()
    }


def _read_table(pyproject: Path) -> dict[str, object]:
    if not pyproject.is_file():
        return {}
    try:
        document = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(
            f"Cannot read {pyproject}: {error}.", fix="Fix the file's TOML."
        ) from error
    table = document.get("tool", {}).get("nbmlops", {})
    return dict(table)


def _convert(kind: Kind, value: Any, source: str) -> Value:  # noqa: ANN401
    if kind is tuple:
        return _names(value, source)
    if kind is Folders:
        return _folders(value, source)
    try:
        converted: Value = kind(value)
        if isinstance(converted, (int, float)) and not converted > 0:
            raise ValueError("not above 0")
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{source} is {value!r}, not a {kind.__name__} above 0.",
            fix=f"Set {source} to a {kind.__name__} above 0.",
        ) from error
    return converted


def _names(value: object, source: str) -> tuple[str, ...]:
    """Return the names of modules in a list, or between the commas of a variable."""
    names = value.split(",") if isinstance(value, str) else value
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        names = [name.strip() for name in names if name.strip()]
        if all(part.isidentifier() for name in names for part in name.split(".")):
            return tuple(names)
    raise UsageError(
        f"{source} is {value!r}, not a list of modules.",
        fix=f'Set {source} to a list such as ["pandas", "sklearn.ensemble"].',
    )


def _folders(value: object, source: str) -> Folders:
    """Return the folders in a list, or in a variable as in ``PATH``."""
    paths = value.split(os.pathsep) if isinstance(value, str) else value
    if isinstance(paths, list) and all(isinstance(each, str) for each in paths):
        return Folders(each.strip() for each in paths if each.strip())
    raise UsageError(
        f"{source} is {value!r}, not a list of folders.",
        fix=f'Set {source} to a list such as ["../shared"].',
    )
