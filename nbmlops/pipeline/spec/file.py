"""The pipeline file: read, and checked as a whole before anything runs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from nbmlops.config import Settings, load_settings
from nbmlops.entities import PipelineSpec
from nbmlops.errors import NotFoundError, UsageError, did_you_mean
from nbmlops.execution.file_hashes import Digests
from nbmlops.pipeline.spec.draft import Draft, NotebookSignature
from nbmlops.pipeline.spec.parser import Parser
from nbmlops.pipeline.spec.problems import PipelineFileError, Problem
from nbmlops.pipeline.spec.resolver import Resolver
from nbmlops.pipeline.spec.yaml_lines import read_located
from nbmlops.store.embedded import make_home

_LARGEST_BYTES = 1_000_000


def read_pipeline(
    path: str | Path, *, settings: Settings | None = None
) -> tuple[PipelineSpec, dict[str, NotebookSignature]]:
    """Return a pipeline from its file, and what its notebooks declare."""
    found = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    text = _read(found, str(path))
    settings = settings or settings_of(found)
    with suppress(OSError):
        make_home(settings.home)  # what is remembered there is in no repository
    problems: list[Problem] = []
    document = read_located(text, problems)
    if document is None and problems:
        raise PipelineFileError(str(path), problems)
    draft = Draft(path=found, readable=settings.readable, problems=problems)
    Parser(draft).read(document)
    resolver = Resolver(draft, Digests(settings.home / "cache" / "digests"))
    steps = resolver.check()
    if problems:
        raise PipelineFileError(str(path), problems)
    name = draft.name or _default_name(found)
    spec = PipelineSpec(
        name=name,
        path=str(found),
        experiment=draft.experiment or name,
        params={key: each.plain() for key, each in draft.params.items()},
        steps=steps,
        triggers=tuple(draft.triggers),
    )
    return spec, resolver.signatures


def settings_of(path: Path) -> Settings:
    """Return the settings of the project that a pipeline file is in."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    here = load_settings()
    inside = path.is_relative_to(here.project)
    return here if inside else load_settings(path.parent)


def _default_name(path: Path) -> str:
    return path.parent.name if path.stem == "pipeline" else path.stem


def _read(path: Path, name: str) -> str:
    if path.is_dir():
        raise UsageError(
            f"{name!r} is a folder, not a pipeline file.",
            fix=f"Name a file, such as {name.rstrip('/')}/pipeline.yaml.",
        )
    if not path.is_file():
        there = [each.name for each in path.parent.glob("*.y*ml")]
        raise NotFoundError(
            f"No pipeline file {name!r}.{did_you_mean(path.name, there)}",
            fix="Check the path; it is relative to the working folder.",
        )
    if path.stat().st_size > _LARGEST_BYTES:
        raise UsageError(
            f"{name!r} is larger than a megabyte.", fix="Name a pipeline file."
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"Cannot read {name!r}: {error}.", fix="Save it as text in UTF-8."
        ) from error
