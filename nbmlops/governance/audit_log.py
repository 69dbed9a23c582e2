"""The audit log of a project: a line a change, chained by hashes.

Each line of ``.nbmlops/audit.jsonl`` is one JSON object that holds its own sha256 and
that of the line above.
"""

from __future__ import annotations

import errno
import getpass
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any

from filelock import FileLock, Timeout

from nbmlops._masking import mask
from nbmlops.config import Settings
from nbmlops.entities import (
    AuditAction,
    AuditEvent,
    AuditFault,
    AuditReport,
    Page,
    to_json,
)
from nbmlops.errors import ConflictError
from nbmlops.store import Store
from nbmlops.store.database import offset_of
from nbmlops.store.embedded import disk_error, make_home, tracking_uri, writing
from nbmlops.store.registry.registered_models import registry_of

_log = logging.getLogger(__name__)
_LOCK_S = 60.0
_LONGEST_REASON = 1000


def change(
    what: AuditAction,
    model: str,
    *,
    version: int | None = None,
    alias: str | None = None,
    endpoint: str | None = None,
    before: int | None = None,
    after: int | None = None,
    why: str = "",
    who: str | None = None,
) -> AuditEvent:
    """Return a change that is yet to be written, of the user of this process."""
    return AuditEvent(
        at=datetime.now(UTC),
        who=user_name() if who is None else who,
        what=what,
        model=model,
        version=version,
        alias=alias,
        endpoint=endpoint,
        before=before,
        after=after,
        why=mask(why)[:_LONGEST_REASON],
        store="",
        previous="",
        hash="",
    )


class AuditLog:
    """The log of a project, as far as it is about the store of its settings."""

    def __init__(self, settings: Settings) -> None:
        self._home = settings.home
        own = tracking_uri(settings.home)
        registry = registry_of(
            Store(settings=settings, uri=settings.tracking_uri or own)
        )
        self._store = "" if registry.is_embedded else registry.shown_uri
        self.path = self._home / "audit.jsonl"

    @property
    def size(self) -> int:
        """How many bytes it has, which differs when there is more in it."""
        return self.path.stat().st_size if self.path.exists() else 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing what is recorded, and from recording."""
        held = FileLock(self._home / "audit.lock", timeout=_LOCK_S)
        try:
            make_home(self._home)
            held.acquire()
        except Timeout as error:
            raise ConflictError(
                f"Another process has held the audit log for {_LOCK_S:.0f} seconds.",
                fix="Wait until it is done, then run it again.",
            ) from error
        except OSError as error:  # the change goes on, and the log says what it can
            _log.warning("%s", disk_error(error, self.path).problem)
        try:
            yield
        finally:
            held.release()

    def read(self, model: str | None = None) -> list[AuditEvent]:
        """Return the events of this store, oldest first; what is damaged is left out.

        `verify` finds what is damaged.
        """
        named = b"" if model is None else f'"model": {json.dumps(model)}'.encode()
        found = []
        for line in self._lines():
            facts = _parse(line) if named in line else None
            if facts is None or facts["store"] != self._store:
                continue
            if model is None or facts["model"] == model:
                moment = datetime.fromisoformat(facts["at"])
                found.append(AuditEvent(**{**facts, "at": moment}))
        return found

    def page(
        self, model: str | None = None, *, limit: int, page_token: str | None = None
    ) -> Page[AuditEvent]:
        """Return a page of the events, the newest first."""
        start = offset_of(page_token)
        events = self.read(model)[::-1]
        end = start + limit
        more = str(end) if len(events) > end else None
        return Page(items=tuple(events[start:end]), next_page_token=more)

    def record(self, *changes: AuditEvent) -> None:
        """Write changes that were made, which nothing may undo."""
        try:
            with self.locked():
                self.append(*changes)
        except ConflictError as error:
            _log.warning("%s: %s", _unwritten(changes), error.problem)

    def append(self, *changes: AuditEvent) -> None:
        """Write changes that were made, inside `locked`.

        What the disk refuses is logged: the change is made, and stays.
        """
        if not changes:
            return
        try:
            last, content = self._end()
            for event in changes:
                facts = to_json(event)
                facts |= {
                    "store": self._store,
                    "previous": last["hash"] if last else "",
                }
                if last:  # also when the clock was set back
                    facts["at"] = max(
                        facts["at"], last["at"], key=datetime.fromisoformat
                    )
                last = facts | {"hash": _hash(facts)}
                content += json.dumps(last).encode("ascii") + b"\n"
            _append(self.path, content)
        except OSError as error:
            problem = disk_error(error, self.path).problem
            _log.warning("%s: %s", _unwritten(changes), problem)

    def verify(self, head: str | None = None) -> AuditReport:
        """Return what is wrong with the chain of lines.

        ``head`` is the hash of a line that was the newest one once.
        """
        lines = self._lines()
        faults = []
        previous = ""
        seen = set()
        for number, line in enumerate(lines, 1):
            facts = _parse(line)
            if facts is None:
                faults.append(AuditFault(line=number, problem="is not readable"))
                continue
            if facts["hash"] != _hash(facts) or line != json.dumps(facts).encode():
                faults.append(AuditFault(line=number, problem="was changed"))
            if facts["previous"] != previous:
                faults.append(AuditFault(line=number, problem=_break(number)))
            previous = facts["hash"]
            seen.add(previous)
        if head is not None and head not in seen:
            problem = "no line has the hash that was given: it was removed or changed"
            faults.append(AuditFault(line=len(lines), problem=problem))
        return AuditReport(n_lines=len(lines), head=previous, faults=tuple(faults))

    def _lines(self) -> list[bytes]:
        """Return the whole lines; one that was cut off by a kill is none."""
        with writing(self.path):
            content = self.path.read_bytes() if self.path.exists() else b""
        *lines, rest = content.split(b"\n")
        return [*lines, rest] if _parse(rest) else lines

    def _end(self) -> tuple[dict[str, Any] | None, bytes]:
        """Return the last line and what goes before a new one; cut off what is none."""
        content = self.path.read_bytes() if self.path.exists() else b""
        *lines, rest = content.split(b"\n")
        whole = _parse(rest)
        if rest and not whole:
            os.truncate(self.path, len(content) - len(rest))
        last = whole or next(filter(None, map(_parse, reversed(lines))), None)
        return last, b"\n" if whole else b""


def user_name() -> str:
    """Return who makes a change: the user of JupyterHub, else of this machine."""
    if hub := os.environ.get("JUPYTERHUB_USER"):
        return hub
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return f"user {os.getuid()}"


def _unwritten(changes: Sequence[AuditEvent]) -> str:
    made = ", ".join(f"{each.what} of {each.model}" for each in changes[:3])
    return f"not in the audit log: {made}"


def _append(path: Path, line: bytes) -> None:
    """Write lines at once, and have them on disk; none of them if there is no room."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, line) < len(line):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, "No space left on device")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return what a line holds; None if it is no line of this log."""
    try:
        facts = json.loads(line)
        if (
            isinstance(facts, dict)
            and facts.keys() == _FIELDS.keys()
            and all(type(facts[name]) in kinds for name, kinds in _FIELDS.items())
            and datetime.fromisoformat(facts["at"]).tzinfo
        ):
            return facts
    except (ValueError, RecursionError):
        pass
    return None


_FIELDS = dict.fromkeys(AuditEvent.__dataclass_fields__, (str,)) | {
    **dict.fromkeys(("alias", "endpoint"), (str, NoneType)),
    **dict.fromkeys(("version", "before", "after"), (int, NoneType)),
}


def _hash(facts: Mapping[str, Any]) -> str:
    """Return the sha256 of all that a line holds but its own hash."""
    content = {name: value for name, value in facts.items() if name != "hash"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _break(number: int) -> str:
    if number == 1:
        return "is not the first line that was written: one above it was removed"
    return (
        f"does not follow line {number - 1}: a line was removed between them, or one "
        "of them was changed or moved"
    )
