"""The process that explains a request, where no model is loaded and nothing waits."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from nbmlops import errors
from nbmlops.config import Settings
from nbmlops.deployment import records
from nbmlops.entities import Contributions, RowContributions
from nbmlops.errors import DeployError
from nbmlops.processes import python_command, python_environ


def explain(settings: Settings, name: str, request_id: str) -> Contributions:
    """Return what the columns of a logged request contributed to its answer."""
    records.check_known(settings, name)
    folder = records.root(settings) / name
    done = subprocess.run(  # noqa: S603 - our own module
        python_command("nbmlops.deployment.explain", str(folder), request_id),
        cwd=folder,
        env=python_environ(os.environ, settings.project),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    document = _read(done, folder)
    if "error" in document:
        raise getattr(errors, document["error"])(
            document["problem"], fix=document["fix"]
        )
    rows = tuple(RowContributions(**row) for row in document.pop("rows"))
    return Contributions(**document, rows=rows)


def _read(done: subprocess.CompletedProcess[bytes], folder: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        last = (said or ["It said nothing."])[-1]
        raise DeployError(
            f"The model of endpoint {folder.name!r} failed when it was explained: "
            f"{last[:300]}",
            fix="See that it predicts the rows of the request.",
        ) from None
    return document
