"""Where the tracked code is: notebook or script, git commit, installed packages."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from nbmlops._masking import mask_value
from nbmlops.errors import UsageError
from nbmlops.tracking.provenance.notebook_path import NOTEBOOK

UNKNOWN = "(unknown notebook)"
COMMIT = "mlflow.source.git.commit"
_GIT_TIMEOUT_S = 5
_HEAD = re.compile(r"^Name: *(\S+).*?^Version: *(\S+)", re.MULTILINE | re.DOTALL)


def source_tags(
    project: Path, *, notebook: str | None = None, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return MLflow's source tags for code that runs in this process."""
    path = notebook or NOTEBOOK.find(environ) or ""
    if path.endswith(".ipynb"):
        kind, name = "NOTEBOOK", relative(Path(path), project)
    elif "ipykernel" in sys.modules and "ipykernel_launcher" in sys.argv[0]:
        kind, name = "NOTEBOOK", UNKNOWN
    else:
        kind, name = "LOCAL", _script(project)
    tags = {
        "mlflow.user": environ.get("USER") or environ.get("LOGNAME") or "unknown",
        "mlflow.source.type": kind,
        "mlflow.source.name": name,
    }
    given = _context(environ)
    commit = None if COMMIT in given else git_commit(project)
    if commit:
        tags[COMMIT] = commit
    return tags | given


def relative(path: Path, project: Path) -> str:
    """Return ``path`` relative to the project, or whole when it is outside."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - a linked notebook keeps its name
    # The working folder, and so the project, is known without links; a server's root is
    # known as it was given.
    resolved = path.parent.resolve() / path.name
    for candidate, root in ((path, project), (resolved, project.resolve())):
        if candidate.is_relative_to(root):
            return candidate.relative_to(root).as_posix()
    return path.as_posix()


def git_commit(folder: Path) -> str | None:
    """Return the commit checked out at ``folder``, or None outside of git."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        answer = subprocess.run(  # noqa: S603 - fixed arguments
            [git, "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


@cache
def installed() -> tuple[str, ...]:
    """Return ``name==version`` of every installed distribution, sorted."""
    found: dict[str, str] = {}
    for each in distributions():
        # Its `metadata` is parsed as a whole, which takes five times as long.
        text = each.read_text("METADATA") or each.read_text("PKG-INFO") or ""
        if head := _HEAD.search(text):
            found[head[1]] = head[2]
    return tuple(sorted(f"{name}=={version}" for name, version in found.items()))


def _script(project: Path) -> str:
    script = Path(sys.argv[0]) if sys.argv and sys.argv[0] not in ("", "-c") else None
    return relative(script, project) if script and script.exists() else "(interactive)"


def _context(environ: Mapping[str, str]) -> dict[str, str]:
    text = environ.get("MLFLOW_RUN_CONTEXT", "{}")
    try:
        return {key: mask_value(value, key) for key, value in json.loads(text).items()}
    except (ValueError, AttributeError) as error:
        raise UsageError(
            "MLFLOW_RUN_CONTEXT is not a JSON object.",
            fix="Unset it, or set it to an object of tags.",
        ) from error
