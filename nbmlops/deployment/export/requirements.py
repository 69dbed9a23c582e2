"""The packages that serving a model takes, each at one version."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_SERVING = (
    *("filelock", "httptools", "msgspec", "numpy", "pandas", "platformdirs"),
    *("prometheus-client", "psutil", "pyyaml", "scikit-learn", "skops"),
    "threadpoolctl",
)


def lock(model: Path, *, with_mlflow: bool) -> list[str]:
    """Return the model's own pins, and all else at the versions installed here.

    MLflow is not served with, unless the model's format is MLflow's alone.
    """
    pins = dict(_pins(model / "requirements.txt"))
    if not with_mlflow:
        pins.pop("mlflow", None)
    waiting: list[str] = [*pins, *map(canonicalize_name, _SERVING)]
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


def _pins(path: Path) -> list[tuple[str, str]]:
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
