"""A pipeline as a file of another tool, which is only replaced where we wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from nbmlops.config import Settings
from nbmlops.entities import Exported, PipelineSpec
from nbmlops.errors import ConflictError, UsageError, did_you_mean
from nbmlops.execution.notebooks.output_file import write_whole
from nbmlops.pipeline.exports import airflow, github
from nbmlops.pipeline.exports.command import words_of

TARGETS = {"airflow": airflow.write, "github": github.write}
"""What writes the text for each tool."""
_MARK = re.compile(
    r"# Written by `nbmlops pipeline export \w+`; sha256 ([0-9a-f]{64})\n"
)


def export(
    spec: PipelineSpec,
    to: str,
    *,
    params: Mapping[str, object],
    settings: Settings,
    path: Path | None,
    force: bool = False,
) -> Exported:
    """Return a pipeline as a file of another tool, and write it where that is asked."""
    if to not in TARGETS:
        raise UsageError(
            f"Nothing is exported to {to!r}.{did_you_mean(to, TARGETS)}",
            fix=f"Use one of: {', '.join(TARGETS)}.",
        )
    path = None if path is None else path.absolute()
    text = TARGETS[to](spec, words_of(spec, params), settings, path)
    digest = sha256(text.encode()).hexdigest()
    text = f"# Written by `nbmlops pipeline export {to}`; sha256 {digest}\n{text}"
    if path is not None:
        if not force and not _is_ours(path):
            raise ConflictError(
                f"{path} was not exported, or was edited since.",
                fix="Choose another with path=, or overwrite it with force=True.",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    notes = tuple(
        f"The trigger on {each.on} is left out: {to} starts the pipeline on a "
        "schedule, or when asked to."
        for each in spec.triggers
        if each.on != "schedule"
    )
    return Exported(
        to=to, path=None if path is None else str(path), text=text, notes=notes
    )


def _is_ours(path: Path) -> bool:
    """Return whether a file is as it was exported, or not there."""
    if not path.exists():
        return True
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    mark = _MARK.match(text)
    rest = text[mark.end() :] if mark else ""
    return bool(mark) and mark[1] == sha256(rest.encode()).hexdigest()  # type: ignore[index]
