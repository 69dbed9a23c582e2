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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nbmlops._masking import mask
from nbmlops.config import Settings
from nbmlops.entities import AuditAction, AuditEvent, AuditFault, AuditReport, to_json
from nbmlops.errors import ConflictError
from nbmlops.store import Store
from nbmlops.store.embedded import disk_error, make_home, writing
from nbmlops.store.registry.registered_models import registry_of

_log = logging.getLogger(__name__)
_LOCK_S = 60.0
_LONGEST_REASON = 1000


class AuditLog:
    """The log of a project, as far as it is about one store."""

    def __init__(self, settings: Settings, store: Store | None = None) -> None:
        self._home = settings.home
        registry = registry_of(store) if store else None
        is_own = registry is None or registry.is_embedded
        self._store = "" if registry is None or is_own else registry.shown_uri
        self.path = self._home / "audit.jsonl"

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
        found = []
        with writing(self.path):
            lines = self._lines()
        for line in lines:
            facts = _parse(line)
            if facts is None or facts["store"] != self._store:
                continue
            if model is None or facts["model"] == model:
                moment = datetime.fromisoformat(facts["at"])
                found.append(AuditEvent(**{**facts, "at": moment}))
        return found

    def append(
        self,
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
    ) -> None:
        """Record a change that was made, inside `locked`.

        What the disk refuses is logged: the change is made, and stays.
        """
        try:
            lines = self._lines(repair=True)
            last = next(filter(None, map(_parse, reversed(lines))), None)
            now = datetime.now(UTC)
            if last:  # also when the clock was set back
                now = max(now, datetime.fromisoformat(last["at"]))
            event = AuditEvent(
                at=now,
                who=user_name() if who is None else who,
                what=what,
                model=model,
                version=version,
                alias=alias,
                endpoint=endpoint,
                before=before,
                after=after,
                why=mask(why)[:_LONGEST_REASON],
                store=self._store,
                previous=last["hash"] if last else "",
                hash="",
            )
            facts = to_json(event)
            line = json.dumps(facts | {"hash": _hash(facts)}) + "\n"
            _append(self.path, line.encode("ascii"))
        except OSError as error:
            problem = disk_error(error, self.path).problem
            _log.warning("%s of %s is not in the audit log: %s", what, model, problem)

    def verify(self, head: str | None = None) -> AuditReport:
        """Return what is wrong with the chain of lines.

        ``head`` is the hash of a line that was the newest one once.
        """
        with writing(self.path):
            lines = self._lines()
        faults = []
        previous = ""
        seen = set()
        for number, line in enumerate(lines, 1):
            facts = _parse(line)
            if facts is None:
                faults.append(AuditFault(line=number, problem="is not readable"))
                continue
            if facts["hash"] != _hash(facts) or line != json.dumps(facts):
                faults.append(AuditFault(line=number, problem="was changed"))
            if facts["previous"] != previous:
                faults.append(AuditFault(line=number, problem=_break(number)))
            previous = facts["hash"]
            seen.add(previous)
        if head is not None and head not in seen:
            problem = "no line has the hash that was given: it was removed or changed"
            faults.append(AuditFault(line=len(lines), problem=problem))
        return AuditReport(n_lines=len(lines), head=previous, faults=tuple(faults))

    def _lines(self, *, repair: bool = False) -> list[str]:
        """Return the whole lines; one that was cut off by a kill is none yet."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        if repair and len(whole) < len(content):
            os.truncate(self.path, len(whole))
        return whole.decode("utf-8", "replace").split("\n")[:-1]


def user_name() -> str:
    """Return who makes a change: the user of JupyterHub, else of this machine."""
    if hub := os.environ.get("JUPYTERHUB_USER"):
        return hub
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return f"user {os.getuid()}"


def _append(path: Path, line: bytes) -> None:
    """Write a line at once, and have it on disk; none of it if there is no room."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, line) < len(line):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, "No space left on device")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse(line: str) -> dict[str, Any] | None:
    """Return what a line holds; None if it is no line of this log."""
    try:
        facts = json.loads(line)
        if facts.keys() == _FIELDS and datetime.fromisoformat(facts["at"]).tzinfo:
            return dict(facts)
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    return None


_FIELDS = AuditEvent.__dataclass_fields__.keys()


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
