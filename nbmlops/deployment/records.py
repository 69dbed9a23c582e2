"""What is on disk about endpoints.

::

    <project>/.nbmlops/endpoints/
        churn -> .churn~3f9a0c21      the record: a reader sees a whole one
        .churn~3f9a0c21/              spec.json  token  model/  log.txt
        .churn.lock                   held while churn is deployed or removed

A new version gets a folder of its own, and replacing the link is the switch.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from nbmlops._files import write_atomically
from nbmlops._masking import mask
from nbmlops.config import Settings
from nbmlops.errors import (
    ConflictError,
    NotFoundError,
    StoreError,
    UsageError,
    did_you_mean,
)
from nbmlops.processes.process_id import ProcessId
from nbmlops.store.embedded import make_home, writing

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_STAMP = re.compile(r"^\S+ \S+ (DEBUG|INFO|WARNING|ERROR|CRITICAL) ")
_CAUSE = re.compile(r"(Fatal Python error|[\w.]*(Error|Exception|Interrupt|Exit))\b.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What ``spec.json`` holds: the endpoint, and how to know its process again."""

    name: str
    model: str
    version: int
    alias: str | None
    port: int
    process: ProcessId
    started_at: str
    model_id: str | None
    run_id: str | None
    no_auth: bool
    max_request_bytes: int
    trust: list[str]

    @property
    def url(self) -> str:
        """Base URL of the endpoint."""
        return f"http://127.0.0.1:{self.port}/endpoints/{self.name}"


def check_name(name: str) -> None:
    """Refuse what cannot name an endpoint."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} cannot name an endpoint.",
            fix="Use up to 63 letters, digits, '.', '_' and '-', a letter or digit "
            "first.",
        )


def root(settings: Settings) -> Path:
    """Return the folder of all endpoints of a project."""
    return settings.home / "endpoints"


def list_names(settings: Settings) -> list[str]:
    """Return the names that have a record, sorted."""
    try:
        return sorted(p.name for p in root(settings).iterdir() if p.is_symlink())
    except FileNotFoundError:
        return []


def folder_of(settings: Settings, name: str) -> Path | None:
    """Return the folder that an endpoint's link names; None without a link."""
    link = root(settings) / name
    if not _NAME.fullmatch(name):
        return None
    try:
        return link.parent / link.readlink().name
    except OSError:
        return None


def find_record(settings: Settings, name: str) -> Record | None:
    """Return an endpoint's record; None when there is none that can be read."""
    folder = folder_of(settings, name)
    if folder is None:
        return None
    try:
        spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        return Record(**{**spec, "process": ProcessId(**spec["process"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning(
            "The record of endpoint %s is damaged, or of another version (%r). "
            "Remove it: nbmlops undeploy %s",
            name,
            error,
            name,
        )
        return None


def get_record(settings: Settings, name: str) -> Record:
    """Return an endpoint's record, or raise NotFoundError with the nearest name."""
    record = find_record(settings, name)
    if record is None:
        raise not_found(settings, name)
    return record


def not_found(settings: Settings, name: str) -> NotFoundError:
    """Return the error that no endpoint has this name."""
    return NotFoundError(
        f"No endpoint {name[:80]!r}.{did_you_mean(name, list_names(settings))}",
        fix="See those there are with: %endpoints.",
    )


@contextmanager
def lock(settings: Settings, name: str) -> Iterator[None]:
    """Keep others from deploying or removing the endpoint meanwhile."""
    folder = root(settings)
    with writing(folder):
        make_home(settings.home)
        folder.mkdir(exist_ok=True, mode=0o700)
        held = FileLock(folder / f".{name}.lock")
        try:
            held.acquire(timeout=settings.deploy_timeout_s + 30)
        except Timeout as error:
            raise ConflictError(
                f"Endpoint {name!r} is being deployed by another process.",
                fix="Wait until it is done, then run it again.",
            ) from error
    try:
        yield
    finally:
        if folder_of(settings, name) is None:
            Path(held.lock_file).unlink(missing_ok=True)
        held.release()


def make_folder(settings: Settings, name: str) -> Path:
    """Return a new, private folder for an endpoint that no record names yet."""
    folder = root(settings) / f".{name}~{uuid.uuid4().hex[:8]}"
    with writing(folder):
        folder.mkdir(mode=0o700)
    return folder


def remove_others(settings: Settings, name: str, *, keep: Path | None) -> None:
    """Remove the folders of an endpoint but one: what a killed deployer left."""
    for folder in root(settings).glob(f".{name}~*"):
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)


def write_record(folder: Path, record: Record) -> None:
    """Write an endpoint's ``spec.json``."""
    with writing(folder):
        content = json.dumps(asdict(record), indent=2).encode()
        write_atomically(folder / "spec.json", content)


def switch(settings: Settings, name: str, folder: Path) -> None:
    """Point the endpoint's link to ``folder``, at once for all readers."""
    link = folder.parent / f".{name}~link"
    with writing(link):
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
        link.replace(root(settings) / name)


def remove(settings: Settings, name: str) -> None:
    """Remove an endpoint's record and all its files."""
    with writing(root(settings)):
        (root(settings) / name).unlink(missing_ok=True)
    remove_others(settings, name, keep=None)


def read_token(settings: Settings, name: str) -> str | None:
    """Return an endpoint's bearer token; None when it asks for none."""
    folder = folder_of(settings, name)
    try:
        return (folder / "token").read_text("ascii").strip() if folder else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"The token of endpoint {name!r} cannot be read.",
            fix=f"Make {folder} readable for you.",
        ) from error


def write_token(folder: Path, token: str) -> None:
    """Write an endpoint's bearer token, readable for its owner alone."""
    path = folder / "token"
    with writing(path):
        path.touch(mode=0o600)
        path.write_text(token, "ascii")


def read_refusal(folder: Path) -> dict[str, str] | None:
    """Return problem and fix of a process that would not serve; None without them."""
    try:
        said = json.loads((folder / "refusal.json").read_text(encoding="utf-8"))
        return {key: str(said[key]) for key in ("problem", "fix")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def last_words(folder: Path) -> str:
    """Return the line of an endpoint's log that says why it ended; "" without one."""
    path = folder / "log.txt"
    lines: list[str] = []
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16_384))
        lines = file.read().decode("utf-8", "replace").splitlines()
    last = ""
    for line in reversed(lines):
        stamp = _STAMP.match(line)
        level, text = (stamp[1], line[stamp.end() :]) if stamp else ("", line)
        if level in ("ERROR", "CRITICAL") or _CAUSE.match(text):
            return mask(text.strip())[:300]
        if level not in ("DEBUG", "INFO"):
            last = last or mask(text.strip())[:300]
    return last
