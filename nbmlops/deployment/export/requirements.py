"""The packages that serving a model takes, each at one version."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from nbmlops.store.models.networks import FLAVORS

SERVING = (
    *("filelock", "httptools", "msgspec", "numpy", "pandas", "platformdirs"),
    *("prometheus-client", "psutil", "pyyaml", "scikit-learn", "skops"),
    "threadpoolctl",
)
_OLDEST_PYTHON = (3, 11)


def lock(model: Path, *, with_mlflow: bool) -> list[str]:
    """Return the model's own pins, and all else at the versions installed here.

    MLflow is not served with, unless the model's format is MLflow's alone.
    """
    pins = dict(read_pins(model / "requirements.txt"))
    if not with_mlflow:
        pins.pop("mlflow", None)
    waiting: list[str] = [*pins, *map(canonicalize_name, SERVING)]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:  # the model's, and not here
            continue
        pins.setdefault(name, f"{name}=={found.version}")
        for line in found.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(needed.name))
    return [pins[name] for name in sorted(pins)]


def with_mlflow(model: Path, document: dict[str, Any]) -> bool:
    """Return whether MLflow is needed to load a model: its format is MLflow's alone."""
    flavors = document.get("flavors") or {}
    return (model / "code").is_dir() or any(each in flavors for each in FLAVORS)


def python_of(flavors: dict[str, Any]) -> str:
    """Return the Python that the model was logged with, if it is one that we run on."""
    stated = str((flavors.get("python_function") or {}).get("python_version") or "")
    major, _, rest = stated.partition(".")
    minor = rest.partition(".")[0]
    if major.isdigit() and minor.isdigit():
        found = (int(major), int(minor))
        if found >= _OLDEST_PYTHON:
            return f"{major}.{minor}"
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def read_pins(path: Path) -> list[tuple[str, str]]:
    """Return the names and lines of a file of requirements."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    found: list[tuple[str, str]] = []
    for line in lines:
        try:
            wanted = Requirement(line.partition("#")[0].strip())
        except InvalidRequirement:  # an option of pip's, or nothing
            continue
        found.append((canonicalize_name(wanted.name), str(wanted)))
    return found
