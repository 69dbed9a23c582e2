"""A worker's own environment: the packages that a model was logged with."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from filelock import FileLock
from packaging.requirements import Requirement

from nbmlops.config import Settings
from nbmlops.deployment.export.requirements import (
    SERVING,
    python_of,
    read_pins,
    with_mlflow,
)
from nbmlops.errors import DeployError, UsageError
from nbmlops.scoring.signature import read_mlmodel
from nbmlops.store.embedded import make_home

_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def make_environment(
    settings: Settings, model: Path, *, announce: Callable[[str], None]
) -> str:
    """Return the Python of an environment with a model's packages; "" if it is ours.

    What differs is announced before anything is made. An environment is kept for all
    models with the same packages.

    Raises DeployError where uv is missing, or cannot make it, and UsageError where a
    package is not named by its version.
    """
    document = read_mlmodel(model)
    pins = dict(read_pins(model / "requirements.txt"))
    for line in pins.values():
        if Requirement(line).url is not None:  # code that runs as it is installed
            raise UsageError(
                f"The model needs {line[:300]}, which is at a URL.",
                fix="Log the model with a version from a package index, or deploy it "
                "with the packages that are here.",
            )
    if not with_mlflow(model, document):
        pins.pop("mlflow", None)
    python = python_of(document.get("flavors") or {})
    differences = _differences(pins, python)
    if not differences:
        return ""
    announce("The model was logged with other packages:")
    for line in differences:
        announce(f"  {line}")
    wanted = sorted({**{name: name for name in (*SERVING, "pyarrow")}, **pins}.values())
    key = hashlib.sha256(json.dumps([python, wanted]).encode()).hexdigest()[:16]
    make_home(settings.home)
    folder = settings.home / "environments" / key
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "complete").exists():
            announce(f"making {folder} with uv; a model with the same packages uses it")
            _make(folder, python, wanted)
    return str(folder / "bin" / "python")


def _differences(pins: dict[str, str], python: str) -> list[str]:
    found = [] if python == _HERE else [f"Python {python}, here {_HERE}"]
    for name, line in sorted(pins.items()):
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            here = version(name)
        except PackageNotFoundError:
            here = ""
        if not here or not wanted.specifier.contains(here, prereleases=True):
            found.append(f"{wanted}, here {here or 'none'}")
    return found


def _make(folder: Path, python: str, wanted: list[str]) -> None:
    beside_python = Path(sys.executable).with_name("uv")
    uv = str(beside_python) if beside_python.exists() else shutil.which("uv")
    if uv is None:
        raise DeployError(
            "An environment is made with uv, which is not installed.",
            fix="Install it: pip install uv; or deploy without --env.",
        )
    shutil.rmtree(folder, ignore_errors=True)
    listed = folder.with_suffix(".txt")
    listed.write_text("\n".join(wanted) + "\n", "utf-8")
    interpreter = str(folder / "bin" / "python")
    for words in (
        ("venv", "--python", python, str(folder)),
        ("pip", "install", "--python", interpreter, "--requirements", str(listed)),
    ):
        done = subprocess.run(  # noqa: S603 - uv
            [uv, *words, "--quiet", "--no-progress"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            why = " ".join(done.stderr.split())[-600:]
            raise DeployError(
                f"The model's environment could not be made: {why}",
                fix=f"See that uv can install what {listed} names, then deploy again.",
            )
    (folder / "complete").touch()
