"""A pipeline as a DAG file of Airflow 3."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nbmlops.config import Settings
from nbmlops.entities import PipelineSpec
from nbmlops.pipeline.exports.command import crons_of, limit_s


def write(
    spec: PipelineSpec, words: list[str], settings: Settings, path: Path | None
) -> str:
    """Return the text of a DAG file: a task a step, with its retries and its limit."""
    from jinja2 import Environment

    folder = Path(spec.path).parent
    shown = f"Path({str(folder)!r})"
    if path is not None and path.is_relative_to(settings.project):
        way = Path(os.path.relpath(folder, path.parent)).as_posix()
        shown = f"(Path(__file__).parent / {way!r}).resolve()"
    environment = Environment(  # noqa: S701 - Python, each value by its repr
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["repr"] = repr
    text = Path(__file__).with_suffix(".py.j2").read_text("utf-8")
    return environment.from_string(text).render(
        name=spec.name,
        dag_id=re.sub(r"[^A-Za-z0-9_.-]", "_", spec.name)[:250],
        folder=shown,
        words=words,
        crons=crons_of(spec),
        steps=[(step, limit_s(step, attempts=1)) for step in spec.steps],
    )
