"""Running the same thing again: which attempt it is, and what changed since."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from nbmlops.entities import Run
from nbmlops.tracking.journal.dirs import OWN
from nbmlops.tracking.journal.records import open_file


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFingerprint:
    """What a run's result depends on."""

    code: str
    data: str
    environment: str
    params: Mapping[str, str]

    @classmethod
    def of(cls, run: Run) -> RunFingerprint:
        """Return the fingerprint of a recorded run."""
        return cls.from_tags(run.tags, run.params)

    @classmethod
    def from_tags(
        cls, tags: Mapping[str, str], params: Mapping[str, str]
    ) -> RunFingerprint:
        """Return the fingerprint that a run's tags and params hold."""
        return cls(
            code=tags.get("nbmlops.code_hash", ""),
            data=tags.get("nbmlops.data_hash", ""),
            environment=tags.get("nbmlops.environment_hash", ""),
            params=dict(params),
        )

    def changes_since(self, before: RunFingerprint) -> tuple[str, ...]:
        """Return in words what differs from an earlier attempt.

        >>> a = RunFingerprint(code="1", data="", environment="", params={"C": "1"})
        >>> b = RunFingerprint(code="2", data="", environment="", params={"C": "2"})
        >>> b.changes_since(a)
        ('code', 'params (C)')
        """
        names = sorted(
            name
            for name in {*self.params, *before.params}
            if self.params.get(name) != before.params.get(name)
        )
        shown = ", ".join([*names[:5], *(["…"] if len(names) > 5 else [])])
        found = {
            "code": self.code != before.code,
            f"params ({shown})": bool(names),
            "data": self.data != before.data,
            "environment": self.environment != before.environment,
        }
        return tuple(what for what, differs in found.items() if differs)


@dataclass(slots=True)
class _Execution:
    """One execution of a cell, or of a script, and the runs it has opened so far."""

    number: int = -1
    opened: dict[tuple[str, str, str], int] | None = None


_execution = _Execution()


def group_of(source: str, name: str, cell: str | None) -> str:
    """Return the id of the group of attempts that a run opened now belongs to."""
    number, found = _where()
    if number != _execution.number or _execution.opened is None:
        _execution.number, _execution.opened = number, {}
    identity = (source, cell or found, name)
    position = _execution.opened.get(identity, 0)
    _execution.opened[identity] = position + 1
    text = "\0".join((*identity, str(position)))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _where() -> tuple[int, str]:
    """Return which execution this is, and the cell it is of, where that is known."""
    shell: Any = None
    if "IPython" in sys.modules:
        shell = sys.modules["IPython"].get_ipython()
    if shell is None:
        return 0, ""
    count = int(shell.execution_count)
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = str((parent or {}).get("metadata", {}).get("cellId") or "")
    if not cell and "MLFLOW_RUN_CONTEXT" in os.environ:
        cell = f"#{count}"  # a step runs each cell once, in order
    return count, cell


@contextmanager
def numbering(home: Path, group: str) -> Iterator[None]:
    """Keep the project's other processes from numbering an attempt of a group."""
    digit = sha256(group.encode("utf-8", "surrogatepass")).hexdigest()[0]
    path = home / OWN / f"attempts-{digit}.lock"
    try:
        fd = open_file(path, os.O_RDWR | os.O_CREAT)
    except OSError:  # no disk has room for it: then two may get one number
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
