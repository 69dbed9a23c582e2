"""The command line that runs the steps of a pipeline, one at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from nbmlops._masking import mask
from nbmlops.entities import PipelineSpec, Step
from nbmlops.errors import UsageError

_START_S = 60.0  # what it may take besides the notebook


def words_of(spec: PipelineSpec, params: Mapping[str, object]) -> list[str]:
    """Return the command that runs a pipeline in its folder, without ``--step``."""
    words = ["nbmlops", "pipeline", "run", _file(Path(spec.path).name)]
    for name, value in params.items():
        text = value if isinstance(value, str) else json.dumps(value)
        if mask(text) != text:
            raise UsageError(
                f"The value of {name!r} looks like a secret.",
                fix="Store it, and give its name for a value: secret:NAME.",
            )
        words += ["-p", name, text]
    return words


def limit_s(step: Step, *, attempts: int) -> float | None:
    """Return the seconds after which a step's command line cannot go on any more.

    Its notebooks are stopped at the limit that the file sets for each; this is beyond.
    """
    if step.timeout_s is None:
        return None
    pauses_s = sum(
        min(step.retry_wait_s * 2.0**n, 60.0) for n in range(max(0, attempts - 1))
    )
    return (step.timeout_s + _START_S) * step.n_runs * attempts + pauses_s


def crons_of(spec: PipelineSpec) -> list[str]:
    """Return the schedules of a pipeline, each as cron writes it."""
    return [
        " ".join(str(each.options["cron"]).split())
        for each in spec.triggers
        if each.on == "schedule"
    ]


def _file(name: str) -> str:
    return f"./{name}" if name.startswith("-") else name
