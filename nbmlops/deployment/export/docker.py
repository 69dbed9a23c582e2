"""The folder that an image is built from."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from importlib.metadata import version as installed_version
from pathlib import Path

from nbmlops.config import Settings
from nbmlops.deployment.export.requirements import lock, python_of, with_mlflow
from nbmlops.entities import ModelVersion
from nbmlops.scoring.signature import read_mlmodel
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
    model = folder / "model"
    pins = lock(model, with_mlflow=with_mlflow(model, document))
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
        python=python_of(flavors),
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


def _copy_rooms(target: Path) -> None:
    source = Path(__file__).parents[2]
    target.mkdir()
    for name in _ROOMS:
        if (source / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source / name, target / name, ignore=ignored)
        else:
            shutil.copy(source / name, target / name)
