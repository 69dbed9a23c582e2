"""Where a project is, and its settings."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from nbmlops.errors import UsageError, did_you_mean

_MARKERS = (".nbmlops", ".git", "pyproject.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What nbmlops needs to know about where it runs.

    Attributes
    ----------
    project : Path
        Absolute path of the project's folder.
    tracking_uri : str or None
        ``MLFLOW_TRACKING_URI``, or None for the embedded store.
    experiment : str
        Experiment of runs that name none; the project folder's name by default.
    deploy_timeout_s : float
        Seconds an endpoint may take to answer its first request, above 0.
    max_request_bytes : int
        Largest request body an endpoint reads, in bytes, above 0.
    """

    project: Path
    tracking_uri: str | None = field(default=None, repr=False)  # may hold a password
    experiment: str = ""
    deploy_timeout_s: float = 60.0
    max_request_bytes: int = 10_000_000

    @property
    def home(self) -> Path:
        """The folder of all that nbmlops itself keeps for this project."""
        return self.project / ".nbmlops"


_OPTIONS: dict[str, type[float] | type[int] | type[str]] = {
    field.name: {"float": float, "int": int, "str": str}[str(field.type)]
    for field in fields(Settings)
    if field.name not in ("project", "tracking_uri")
}


def find_project(start: Path) -> Path:
    """Return the nearest folder at or above ``start`` that marks a project.

    Parameters
    ----------
    start : Path
        A folder; it need not exist.

    Returns
    -------
    Path
        The nearest folder that holds ``.nbmlops/``, else the nearest that holds
        ``.git``, else ``pyproject.toml``; ``start`` itself when there is none.
    """
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
    """Return the settings of the project around ``start``.

    Parameters
    ----------
    start : Path, optional
        A folder inside the project; the working folder by default.
    environ : Mapping of str to str, optional
        The environment; ``os.environ`` by default. ``NBMLOPS_<NAME>`` wins over
        ``[tool.nbmlops]`` in the project's ``pyproject.toml``.

    Returns
    -------
    Settings
        The settings, every value of its declared type.

    Raises
    ------
    UsageError
        A setting is unknown or cannot be read.
    """
    environ = os.environ if environ is None else environ
    project = find_project(start or Path.cwd())
    values: dict[str, float | int | str] = {"experiment": project.name or "default"}
    for name, value in _read_table(project / "pyproject.toml").items():
        if name not in _OPTIONS:
            raise UsageError(
                f"Unknown setting {name!r} in [tool.nbmlops]."
                + did_you_mean(name, _OPTIONS),
                fix=f"Use one of {', '.join(_OPTIONS)} in {project}/pyproject.toml.",
            )
        values[name] = _convert(name, value, f"[tool.nbmlops] {name}")
    if environ.get("MLFLOW_EXPERIMENT_NAME"):
        values["experiment"] = environ["MLFLOW_EXPERIMENT_NAME"]
    for name in _OPTIONS:
        variable = f"NBMLOPS_{name.upper()}"
        if environ.get(variable):
            values[name] = _convert(name, environ[variable], variable)
    return Settings(
        project=project,
        tracking_uri=environ.get("MLFLOW_TRACKING_URI") or None,
        **values,  # type: ignore[arg-type]
    )


def _read_table(pyproject: Path) -> dict[str, object]:
    if not pyproject.is_file():
        return {}
    try:
        document = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(
            f"Cannot read {pyproject}: {error}.", fix="Mend the file's TOML."
        ) from error
    table = document.get("tool", {}).get("nbmlops", {})
    return dict(table)


def _convert(name: str, value: Any, source: str) -> float | int | str:  # noqa: ANN401
    kind = _OPTIONS[name]
    try:
        converted: float | int | str = kind(value)
        if not isinstance(converted, str) and not converted > 0:
            raise ValueError("not above 0")
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{source} is {value!r}, not a {kind.__name__} above 0.",
            fix=f"Set {source} to a {kind.__name__} above 0.",
        ) from error
    return converted
