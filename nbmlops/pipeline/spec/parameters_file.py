"""A file of parameters for one run."""

from __future__ import annotations

from pathlib import Path

from nbmlops.errors import NotFoundError, UsageError, did_you_mean
from nbmlops.pipeline.spec.problems import Problem
from nbmlops.pipeline.spec.value_readers import describe
from nbmlops.pipeline.spec.yaml_lines import read_located


def read_parameters(path: Path) -> dict[str, object]:
    """Return what a file of parameters gives."""
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


def read_text(path: Path, what: str) -> str:
    """Return the text of a file that somebody has named."""
    if not path.is_file():
        there = [each.name for each in path.parent.glob("*.*")]
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
