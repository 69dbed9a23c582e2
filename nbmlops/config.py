"""Where a project is, and its settings."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What models may hold: ``[tool.nbmlops.models]``."""

    trust: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How endpoints answer: ``[tool.nbmlops.serving]``."""

    workers: int = 1
    batching: bool = True
    fast: bool = True
    log_share: float = 1.0
    log_days: int = 30
    log_bytes: int = 1_000_000_000
    max_waiting: int = 64
    unseen_category: Literal["warn", "refuse"] = "warn"
    out_of_range: Literal["warn", "refuse"] = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ray:
    """Where ``target="ray"`` serves versions: ``[tool.nbmlops.ray]``."""

    address: str | None = None
    cpus: float = 1.0
    max_replicas: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What nbmlops needs to know about where it runs."""

    project: Path
    tracking_uri: str | None = field(default=None, repr=False)  # may hold a password
    experiment: str = ""
    deploy_timeout_s: float = 60.0
    max_request_bytes: int = 10_000_000
    data_folders: tuple[str, ...] = ()
    cost: Prices = field(default_factory=Prices)
    warm: Warm = field(default_factory=Warm)
    cache: Shared = field(default_factory=Shared)
    dask: Dask = field(default_factory=Dask)
    models: Models = field(default_factory=Models)
    serving: Serving = field(default_factory=Serving)
    ray: Ray = field(default_factory=Ray)

    @property
    def home(self) -> Path:
        """The folder of all that nbmlops itself keeps for this project."""
        return self.project / ".nbmlops"

    @property
    def readable(self) -> tuple[Path, ...]:
        """The project, and the other folders that steps may read from."""
        others = (self.project / Path(each).expanduser() for each in self.data_folders)
        return (self.project, *(Path(os.path.normpath(each)) for each in others))


Value = float | int | str | tuple[str, ...]
Found = dict[str, tuple[Value, str]]
"""Settings that were given, and where."""


def _number(kind: type[float | int]) -> Callable[[Any, str], Value]:
    def read(value: Any, source: str) -> Value:  # noqa: ANN401
        try:
            number = kind(value)
            if not number > 0:
                raise ValueError("not above 0")
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{source} is {value!r}, not a {kind.__name__} above 0.",
                fix=f"Set {source} to a {kind.__name__} above 0.",
            ) from error
        return number

    return read


def _text(value: object, source: str) -> str:
    return str(value)


def _modules(value: object, source: str) -> tuple[str, ...]:
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


def _folders(value: object, source: str) -> tuple[str, ...]:
    """Return the folders in a list, or in a variable as in ``PATH``."""
    paths = value.split(os.pathsep) if isinstance(value, str) else value
    if isinstance(paths, list) and all(isinstance(each, str) for each in paths):
        return tuple(each.strip() for each in paths if each.strip())
    raise UsageError(
        f"{source} is {value!r}, not a list of folders.",
        fix=f'Set {source} to a list such as ["../shared"].',
    )


def _boolean(value: object, source: str) -> Value:
    found = {"true": True, "false": False}.get(str(value).lower())
    if found is None:
        raise UsageError(
            f"{source} is {value!r}, not true or false.",
            fix=f"Set {source} to true or false.",
        )
    return found


def _share(value: Any, source: str) -> Value:  # noqa: ANN401
    try:
        share = float(value)
        if not 0 <= share <= 1:
            raise ValueError("beyond 0 and 1")
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{source} is {value!r}, not a share from 0 to 1.",
            fix=f"Set {source} to a number from 0 to 1.",
        ) from error
    return share


def _warn_or_refuse(value: object, source: str) -> Value:
    if value not in ("warn", "refuse"):
        raise UsageError(
            f"{source} is {value!r}, not warn or refuse.",
            fix=f'Set {source} to "warn" or "refuse".',
        )
    return str(value)


_SETTINGS: dict[str, Callable[[Any, str], Value]] = {
    "experiment": _text,
    "deploy_timeout_s": _number(float),
    "max_request_bytes": _number(int),
    "data_folders": _folders,
    "cost.usd_per_hour": _number(float),
    "cost.watts": _number(float),
    "cost.watts_per_core": _number(float),
    "cost.kg_co2_per_kwh": _number(float),
    "warm.preload": _modules,
    "warm.idle_s": _number(float),
    "cache.url": _text,
    "cache.key": _text,
    "dask.address": _text,
    "dask.cluster": _text,
    "dask.workers": _number(int),
    "models.trust": _modules,
    "serving.workers": _number(int),
    "serving.batching": _boolean,
    "serving.fast": _boolean,
    "serving.log_share": _share,
    "serving.log_days": _number(int),
    "serving.log_bytes": _number(int),
    "serving.max_waiting": _number(int),
    "serving.unseen_category": _warn_or_refuse,
    "serving.out_of_range": _warn_or_refuse,
    "ray.address": _text,
    "ray.cpus": _number(float),
    "ray.max_replicas": _number(int),
}
"""What can be set, and what reads its value."""
_TABLES: dict[str, type] = {
    "cost": Prices,
    "warm": Warm,
    "cache": Shared,
    "dask": Dask,
    "models": Models,
    "serving": Serving,
    "ray": Ray,
}
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
    return _settings(*_find(start, environ))


def explain_settings(
    start: Path | None = None, *, environ: Mapping[str, str] | None = None
) -> tuple[tuple[str, object, str], ...]:
    """Return every setting, its value and where that came from."""
    project, found = _find(start, environ)
    marker = next((m for m in _MARKERS if (project / m).exists()), "working folder")
    settings = _settings(project, found)
    values: dict[str, object] = {
        each.name: getattr(settings, each.name)
        for each in fields(Settings)
        if each.name not in _TABLES
    }
    values |= {name: value for name, (value, _) in found.items()}
    origins = {"project": marker} | {n: origin for n, (_, origin) in found.items()}
    return tuple(
        (name, value, origins.get(name, "default")) for name, value in values.items()
    )


def _settings(project: Path, found: Found) -> Settings:
    given: dict[str, Any] = {n: v for n, (v, _) in found.items() if "." not in n}
    for table, kind in _TABLES.items():
        options: dict[str, Any] = {
            name.removeprefix(f"{table}."): value
            for name, (value, _) in found.items()
            if name.startswith(f"{table}.")
        }
        given[table] = kind(**options)
    return Settings(project=project, **given)


def _find(start: Path | None, environ: Mapping[str, str] | None) -> tuple[Path, Found]:
    """Return the project, and each setting that was given, with where."""
    environ = os.environ if environ is None else environ
    project = find_project(start or Path.cwd())
    pyproject = project / "pyproject.toml"
    found: Found = {
        "experiment": (project.name or "default", "name of the project's folder")
    }
    for table, option, value in _read(pyproject):
        name = f"{table}.{option}" if table else option
        where = f"tool.nbmlops.{table}".rstrip(".")
        if name not in _SETTINGS:
            pairs = (known.rpartition(".") for known in _SETTINGS)
            options = [last for prefix, _, last in pairs if prefix == table]
            raise UsageError(
                f"Unknown setting {option!r} in [{where}]."
                f"{did_you_mean(option, options)}",
                fix=f"Use one of {', '.join(options)} in {pyproject}.",
            )
        if name in _SECRETS and not is_reference(str(value)):
            raise UsageError(
                f"[{where}] {option} is not the name of a secret.",
                fix=f'Write {option} = "secret:NAME" and set NAME in the environment '
                "or the keyring.",
            )
        read = _SETTINGS[name](value, f"[{where}] {option}")
        found[name] = (read, "pyproject.toml")
    # MLflow exports the address that it is given: the embedded store's is the default.
    own = f"sqlite:///{(project / '.nbmlops' / 'mlflow.db').as_posix()}"
    for name, variable in (
        ("experiment", "MLFLOW_EXPERIMENT_NAME"),
        ("tracking_uri", "MLFLOW_TRACKING_URI"),
    ):
        if environ.get(variable) and environ[variable] != own:
            found[name] = (environ[variable], variable)
    for name, reader in _SETTINGS.items():
        variable = f"NBMLOPS_{name}".replace(".", "_").upper()
        if text := environ.get(variable):
            is_name = name in _SECRETS
            value = f"secret:{variable}" if is_name else reader(text, variable)
            found[name] = (value, variable)
    return project, found


def _read(pyproject: Path) -> Iterator[tuple[str, str, object]]:
    """Yield the table, the name and the value of each setting in a file."""
    if not pyproject.is_file():
        return
    try:
        document = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(
            f"Cannot read {pyproject}: {error}.", fix="Fix the file's TOML."
        ) from error
    for name, value in document.get("tool", {}).get("nbmlops", {}).items():
        if name not in _TABLES:
            yield "", name, value
        elif isinstance(value, dict):
            yield from ((name, option, each) for option, each in value.items())
        else:
            raise UsageError(
                f"[tool.nbmlops] {name} is {value!r}, not a table.",
                fix=f"Write [tool.nbmlops.{name}] in {pyproject}.",
            )
