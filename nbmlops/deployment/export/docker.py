"""The folder that an image is built from."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from nbmlops.config import Settings
from nbmlops.deployment.export.requirements import lock
from nbmlops.entities import ModelVersion
from nbmlops.scoring.signature import read_mlmodel
from nbmlops.store.models.networks import FLAVORS
from nbmlops.store.models.own_code import Trust

_ROOMS = (
    *("__init__.py", "_files.py", "_hashing.py", "_masking", "config.py", "entities"),
    *("errors.py", "processes", "scoring", "secrets.py", "serving", "store"),
)
"""What a worker imports of nbmlops."""
_DOCKERFILE = """\
FROM python:{python}-slim
{system}WORKDIR /endpoint
COPY requirements.txt .
RUN pip install --no-cache-dir --no-deps -r requirements.txt
COPY . .
USER 1000
EXPOSE 8080
ENTRYPOINT ["python", "-m", "nbmlops.serving", "/endpoint", "--host", "0.0.0.0", \
"--port", "8080"{no_auth}]
"""
_OPENMP = """\
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 \\
    && rm -rf /var/lib/apt/lists/*
"""
_OLDEST_PYTHON = (3, 11)


def write_image_folder(
    settings: Settings,
    version: ModelVersion,
    folder: Path,
    *,
    name: str,
    no_auth: bool,
    trust: Trust,
) -> None:
    """Write all but ``model/``, which is there, of a folder to build an image from."""
    document = read_mlmodel(folder / "model")
    flavors = document.get("flavors") or {}
    has_own_code = (folder / "model" / "code").is_dir()
    pins = lock(
        folder / "model",
        with_mlflow=has_own_code or any(each in flavors for each in FLAVORS),
    )
    served = {
        "endpoint": name,
        "model": version.model,
        "version": version.version,
        "trust": [*trust],
        "max_request_bytes": settings.max_request_bytes,
        "serving": asdict(settings.serving),
    }
    needs_openmp = any(pin.startswith("lightgbm=") for pin in pins)
    dockerfile = _DOCKERFILE.format(
        python=_python(flavors),
        system=_OPENMP if needs_openmp else "",
        no_auth=', "--no-auth"' if no_auth else "",
    )
    for path, text in (
        ("requirements.txt", "\n".join(pins) + "\n"),
        ("served.json", json.dumps(served, indent=2) + "\n"),
        ("Dockerfile", dockerfile),
        (".dockerignore", "Dockerfile\n.dockerignore\n*.yaml\n"),
    ):
        (folder / path).write_text(text, "utf-8")
    _copy_rooms(folder / "nbmlops")
    about = folder / f"nbmlops-{installed_version('nbmlops')}.dist-info"
    about.mkdir()
    metadata = f"Name: nbmlops\nVersion: {installed_version('nbmlops')}\n"
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\n{metadata}", "utf-8")


def _python(flavors: dict[str, Any]) -> str:
    """Return the Python that the model was logged with, if it is one that we run on."""
    stated = str((flavors.get("python_function") or {}).get("python_version") or "")
    major, _, rest = stated.partition(".")
    minor = rest.partition(".")[0]
    if major.isdigit() and minor.isdigit():
        found = (int(major), int(minor))
        if found >= _OLDEST_PYTHON:
            return f"{major}.{minor}"
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _copy_rooms(target: Path) -> None:
    source = Path(__file__).parents[2]
    target.mkdir()
    for name in _ROOMS:
        if (source / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source / name, target / name, ignore=ignored)
        else:
            shutil.copy(source / name, target / name)
