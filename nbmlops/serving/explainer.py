"""A process that explains a request, where the endpoint is and no model is loaded."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from nbmlops import errors
from nbmlops.errors import DeployError, NotFoundError
from nbmlops.processes import python_command, python_environ

_ID = re.compile(r"[\w.-]{1,128}")


def explain(
    module: str, folder: Path, request_id: str, *, timeout_s: float | None = None
) -> dict[str, Any]:
    """Return what ``python -m MODULE FOLDER REQUEST_ID`` prints, or raise its error."""
    if not _ID.fullmatch(request_id):
        raise NotFoundError(
            f"{request_id[:80]!r} is no id of a request.",
            fix="Give the x-request-id of an answer.",
        )
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            python_command(module, str(folder), request_id),
            cwd=folder,
            env=python_environ(os.environ, folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise DeployError(
            f"The request is not explained within {timeout_s:.0f} s.",
            fix="Explain it in Python: endpoint.explain(request_id) waits longer.",
        ) from error
    except OSError as error:
        raise DeployError(
            f"No process to explain the request could be started: {error}.",
            fix="See that the endpoint's folder is there, and the machine not full.",
        ) from error
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        last = (said or ["It said nothing."])[-1]
        raise DeployError(
            f"The model failed when it was explained: {last[:300]}",
            fix="See that it predicts the rows of the request.",
        ) from None
    if "error" in document:
        kind = getattr(errors, document["error"])
        raise kind(document["problem"], fix=document["fix"])
    return document
