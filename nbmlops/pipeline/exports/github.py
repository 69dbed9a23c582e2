"""A pipeline as a workflow of GitHub Actions."""

from __future__ import annotations

import math
import os
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from nbmlops.config import Settings
from nbmlops.entities import PipelineSpec, Step
from nbmlops.errors import UsageError
from nbmlops.pipeline.exports.command import crons_of, limit_s

_CACHE = ".nbmlops/cache"
_SECRETS = ("MLFLOW_TRACKING_URI", "NBMLOPS_CACHE_KEY")


def write(
    spec: PipelineSpec, words: list[str], settings: Settings, path: Path | None
) -> str:
    """Return the text of a workflow: a job whose steps are those of the pipeline.

    They are steps of one job, since jobs share no folder: files, results and the
    embedded store go from one to the next in the project's folder.
    """
    folder = Path(spec.path).parent
    root = next(
        (each for each in (folder, *folder.parents) if (each / ".git").exists()),
        settings.project,
    )
    home = Path(os.path.relpath(settings.project, root)).as_posix()
    crons = [{"cron": _cron(each)} for each in crons_of(spec)]
    document = {
        "name": spec.name,
        "on": {"workflow_dispatch": {}, **({"schedule": crons} if crons else {})},
        "concurrency": {"group": f"nbmlops {spec.name}", "cancel-in-progress": False},
        "jobs": {
            "pipeline": {
                "runs-on": "ubuntu-latest",
                "env": {name: f"${{{{ secrets.{name} }}}}" for name in _SECRETS},
                "defaults": {
                    "run": {"working-directory": folder.relative_to(root).as_posix()}
                },
                "steps": [
                    *_prepare(settings.project, root, home),
                    *(_step(step, words) for step in spec.steps),
                ],
            }
        },
    }
    texts = [*words, str(folder.relative_to(root)), spec.name]
    for text in texts:
        if "${{" in text:
            raise UsageError(
                f"{text!r} cannot be written into a workflow: GitHub replaces '${{{{'.",
                fix="Give another value or name.",
            )
    dumped: str = yaml.safe_dump(
        document, sort_keys=False, allow_unicode=True, width=1000
    )
    return dumped


def _prepare(project: Path, root: Path, home: str) -> list[dict[str, Any]]:
    """Return the steps that check out, install, and fetch what is kept."""
    python = ".".join(map(str, sys.version_info[:2]))
    what = [f"nbmlops=={version('nbmlops')}"]
    listed = project / "requirements.txt"
    if listed.is_file():
        what += ["-r", Path(os.path.relpath(listed, root)).as_posix()]
    key = "nbmlops-${{ github.workflow }}-"
    return [
        {"uses": "actions/checkout@v4"},
        {"uses": "actions/setup-python@v5", "with": {"python-version": python}},
        {
            "uses": "actions/cache@v4",
            "with": {
                "path": _CACHE if home == "." else f"{home}/{_CACHE}",
                "key": key + "${{ github.run_id }}",
                "restore-keys": key,
            },
        },
        {"run": f"pip install {shlex.join(what)}", "working-directory": "."},
    ]


def _step(step: Step, words: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": step.name,
        "run": shlex.join([*words, "--step", step.name]),
    }
    seconds = limit_s(step, attempts=step.retries + 1)
    if seconds is not None:
        found["timeout-minutes"] = math.ceil(seconds / 60)
    return found


def _cron(text: str) -> str:
    """Return a schedule with 0 for Sunday, where cron also knows 7."""
    *rest, days = text.split()
    if "7" not in days:
        return text
    found: set[int] = set()
    for part in days.split(","):
        span, _, stride = part.partition("/")
        first, _, last = span.partition("-")
        if first.isdecimal():
            end = int(last or (7 if stride else first))
            found |= {n % 7 for n in range(int(first), end + 1, int(stride or 1))}
        else:
            return text
    return " ".join([*rest, ",".join(map(str, sorted(found)))])
