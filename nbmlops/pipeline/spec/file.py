"""Files of pipelines and of parameters: read, and checked before anything runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nbmlops.config import Settings, load_settings
from nbmlops.entities import PipelineSpec
from nbmlops.errors import NotFoundError, UsageError, did_you_mean
from nbmlops.execution.file_hashes import Digests
from nbmlops.pipeline.spec.draft import NotebookSignature, SpecDraft
from nbmlops.pipeline.spec.parser import Parser
from nbmlops.pipeline.spec.resolver import Resolver
from nbmlops.pipeline.spec.value_readers import describe
from nbmlops.pipeline.spec.yaml_lines import Problem, read_located
from nbmlops.store.embedded import make_home

_LARGEST_BYTES = 1_000_000


class PipelineFileError(UsageError):
    """A pipeline file that cannot be run."""

    def __init__(self, path: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        n = len(self.problems)
        head = f"{path} has {n} problem{'s' * (n > 1)}:"
        super().__init__(
            "\n".join([head, *(f"  {each}" for each in self.problems)]),
            fix=f"Fix {'them' if n > 1 else 'it'} in {path}; nothing was run.",
        )


def read_pipeline(
    path: str | Path, *, settings: Settings | None = None
) -> tuple[PipelineSpec, dict[str, NotebookSignature]]:
    """Return a pipeline from its file, and what its notebooks declare."""
    found = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    if found.is_dir():
        raise UsageError(
            f"{str(path)!r} is a folder, not a pipeline file.",
            fix=f"Name a file, such as {Path(path) / 'pipeline.yaml'}.",
        )
    if found.is_file() and found.stat().st_size > _LARGEST_BYTES:
        raise UsageError(
            f"{str(path)!r} is larger than a megabyte.", fix="Name a pipeline file."
        )
    text = read_text(Path(path), "pipeline file", "*.y*ml")
    settings = settings or settings_of(found)
    with suppress(OSError):
        make_home(settings.home)  # what is remembered there is in no repository
    problems: list[Problem] = []
    document = read_located(text, problems)
    if document is None and problems:
        raise PipelineFileError(str(path), problems)
    draft = SpecDraft(path=found, readable=settings.readable, problems=problems)
    Parser(draft).read(document)
    resolver = Resolver(draft, Digests(settings.home / "cache" / "digests"))
    steps = resolver.check()
    if problems:
        raise PipelineFileError(str(path), problems)
    default = found.parent.name if found.stem == "pipeline" else found.stem
    name = draft.name or default
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


def read_parameters(path: Path) -> dict[str, object]:
    """Return what a file of parameters for one run gives."""
    text = read_text(path, "parameter file")
    problems: list[Problem] = []
    found = read_located(text, problems)
    if not problems and (found is None or not isinstance(found.value, dict)):
        what = describe(None if found is None else found.value)
        message = f"The file is {what}, not a mapping of names to values."
        problems = [Problem(1, message)]
    if problems or found is None:
        all_problems = " ".join(map(str, sorted(problems)))
        raise UsageError(f"{path}, {all_problems}", fix=f"Fix {path}; nothing was run.")
    return {name: each.plain() for name, each in found.value.items()}


def read_text(path: Path, what: str, pattern: str = "*.*") -> str:
    """Return the text of a file that somebody has named; others are like a pattern."""
    if not path.is_file():
        there = [each.name for each in path.parent.glob(pattern)]
        raise NotFoundError(
            f"No {what} {str(path)!r}.{did_you_mean(path.name, there)}",
            fix="Check the path; it is relative to the working folder.",
        )
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"Cannot read {str(path)!r}: {error}.", fix="Save it as text in UTF-8."
        ) from error
