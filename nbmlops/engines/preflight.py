"""What a machine has of what tasks depend on, and whether that will do."""

from __future__ import annotations

import platform
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

_PARTS = {"nbmlops": 3, "mlflow": 2, "papermill": 2}
"""How many parts of a version matter: what tasks, stores and notebooks look like."""


class Machine(TypedDict):
    """What there is on a machine; plain, so that any version can read it."""

    host: str
    versions: dict[str, str]
    mark: str | None


def read_machine(mark: str) -> Machine:
    """Return what there is here."""
    try:
        found: str | None = Path(mark).read_text(encoding="utf-8")
    except OSError:
        found = None
    python = ".".join(platform.python_version_tuple()[:2])
    return Machine(
        host=socket.gethostname(),
        versions={"Python": python, **{name: _version(name) for name in _PARTS}},
        mark=found,
    )


def find_problem(
    mine: Machine, theirs: Machine, *, is_store_here: bool
) -> tuple[str, str] | None:
    """Return why tasks from here cannot be done there, and how to fix it, or None.

    >>> mine = Machine(host="a", versions={"Python": "3.11"}, mark="m")
    >>> theirs = Machine(host="b", versions={"Python": "3.12"}, mark="m")
    >>> find_problem(mine, theirs, is_store_here=False)[0]
    'It has Python 3.12, and this process 3.11.'
    """
    if theirs["mark"] is None or theirs["mark"] != mine["mark"]:
        return (
            "It does not see the project's folder.",
            "Have workers mount it, to be read and written, at the same path as here.",
        )
    for name, wanted in mine["versions"].items():
        found = theirs["versions"].get(name, "none")
        if found != wanted:
            return (
                f"It has {name} {found}, and this process {wanted}.",
                "Give workers the environment of this process.",
            )
    if is_store_here and theirs["host"] != mine["host"]:
        return (
            f"It is on {theirs['host']}, and runs are recorded in a file that only "
            f"processes of {mine['host']} may share.",
            "Set MLFLOW_TRACKING_URI to a server that both reach.",
        )
    return None


def _version(name: str) -> str:
    try:
        return ".".join(version(name).split(".")[: _PARTS[name]])
    except PackageNotFoundError:
        return "none"
