"""What is on disk about endpoints.

::

    <project>/.nbmlops/endpoints/
        supervisor.sock  supervisor.log
        churn/
            endpoint.json     what is to be served; the supervisor alone writes it
            token             readable for its owner alone
            versions/3/model/ the files of a version
            log.txt
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nbmlops._files import write_atomically
from nbmlops._masking import mask
from nbmlops.config import Serving, Settings
from nbmlops.entities import ModelVersion
from nbmlops.errors import (
    ConflictError,
    NotFoundError,
    StoreError,
    UsageError,
    did_you_mean,
)
from nbmlops.processes.process_id import ProcessId, start_of
from nbmlops.store.embedded import make_home, writing

LOCAL = "local"
_log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_STAMP = re.compile(r"^\S+ \S+ (DEBUG|INFO|WARNING|ERROR|CRITICAL) ")
_CAUSE = re.compile(r"(Fatal Python error|[\w.]*(Error|Exception|Interrupt|Exit))\b.*")
_RECORD = "endpoint.json"
_SPARE_BYTES = 16_384
_MOST_LINES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model version as an endpoint serves it."""

    model: str
    version: int
    model_id: str | None
    run_id: str | None
    trust: tuple[str, ...] = ()
    digest: str = field(default="", compare=False)
    """Of the files that are served."""
    has_env: bool = False
    """Whether its workers have the packages that it was logged with."""
    python: str = field(default="", compare=False)
    """Of those packages' environment; "" where they are ours."""

    @classmethod
    def of(cls, version: ModelVersion, trust: tuple[str, ...]) -> Served:
        """Return a registered version as it is served."""
        return cls(
            model=version.model,
            version=version.version,
            model_id=version.model_id,
            run_id=version.run_id,
            trust=trust,
        )

    @classmethod
    def read(cls, document: Mapping[str, Any] | None) -> Served | None:
        """Return what a document says."""
        if document is None:
            return None
        return cls(**{**document, "trust": tuple(document["trust"])})

    def __str__(self) -> str:
        return f"{self.model}/{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A version that answers a share of the requests until a rule is broken."""

    served: Served
    share: float
    rules: Mapping[str, float]

    @classmethod
    def read(cls, document: Mapping[str, Any] | None) -> Canary | None:
        """Return what a document says."""
        if document is None:
            return None
        served = Served.read(document["served"])
        assert served is not None  # noqa: S101 - there is no canary without
        return cls(served=served, share=document["share"], rules=document["rules"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What ``endpoint.json`` holds: what an endpoint is to serve, and who does."""

    name: str
    champion: Served
    alias: str | None = None
    port: int
    no_auth: bool = False
    max_request_bytes: int
    serving: Serving
    started_at: str
    target: str = LOCAL
    """Where it runs."""
    previous: Served | None = None
    """The version that a roll-back goes to."""
    canary: Canary | None = None
    shadow: Served | None = None
    """The version that gets a copy of each request."""
    not_followed: int | None = None
    """The version that the alias names and that is not to be served."""
    message: str = ""
    processes: tuple[ProcessId, ...] = ()
    """The workers that serve the champion."""

    @property
    def all_served(self) -> list[Served]:
        """The versions whose files are kept."""
        canary = self.canary and self.canary.served
        found = (self.champion, self.previous, canary, self.shadow)
        return [each for each in found if each]

    @property
    def url(self) -> str:
        """Base URL of the endpoint."""
        return f"http://127.0.0.1:{self.port}/endpoints/{self.name}"

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Record:
        """Return what a document says."""
        champion = Served.read(document["champion"])
        assert champion is not None  # noqa: S101 - there is no endpoint without
        more = {
            "champion": champion,
            "previous": Served.read(document["previous"]),
            "canary": Canary.read(document["canary"]),
            "shadow": Served.read(document["shadow"]),
            "serving": Serving(**document["serving"]),
            "processes": tuple(ProcessId(**each) for each in document["processes"]),
        }
        return cls(**{**document, **more})


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


def make_root(settings: Settings) -> Path:
    """Return the folder of all endpoints, made where it is missing."""
    folder = root(settings)
    with writing(folder):
        make_home(settings.home)
        folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def socket_path(folder: Path, target: str) -> Path:
    """Return where the supervisor of a target listens."""
    return folder / f"supervisor{'' if target == LOCAL else f'-{target}'}.sock"


def log_path(folder: Path, target: str) -> Path:
    """Return the log of a target's supervisor."""
    return socket_path(folder, target).with_suffix(".log")


@contextmanager
def lock(settings: Settings, name: str) -> Iterator[None]:
    """Keep others from deploying or removing the endpoint meanwhile."""
    folder = make_root(settings)
    held = FileLock(folder / f".{name}.lock")
    with writing(folder):
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
        if not (folder / name).exists():
            Path(held.lock_file).unlink(missing_ok=True)
        held.release()


def list_names(folder: Path) -> list[str]:
    """Return the names that have a record, sorted."""
    try:
        return sorted(p.name for p in folder.iterdir() if (p / _RECORD).is_file())
    except FileNotFoundError:
        return []


def find_record(folder: Path, name: str) -> Record | None:
    """Return an endpoint's record; None when there is none that can be read."""
    if not _NAME.fullmatch(name):
        return None
    try:
        return Record.read(json.loads((folder / name / _RECORD).read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
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
    record = find_record(root(settings), name)
    if record is None:
        raise not_found(settings, name)
    return record


def check_known(settings: Settings, name: str) -> None:
    """Refuse a name that no endpoint has; one with a damaged record is known."""
    if name not in list_names(root(settings)):
        raise not_found(settings, name)


def model_folder(settings: Settings, record: Record) -> Path:
    """Return the folder of the files that an endpoint serves."""
    version = str(record.champion.version)
    return root(settings) / record.name / "versions" / version / "model"


def not_found(settings: Settings, name: str) -> NotFoundError:
    """Return the error that no endpoint has this name."""
    known = list_names(root(settings))
    return NotFoundError(
        f"No endpoint {name[:80]!r}.{did_you_mean(name, known)}",
        fix="See those there are with: %endpoints.",
    )


def write_record(folder: Path, record: Record) -> None:
    """Write an endpoint's record below the folder of all, on a full disk, too.

    There is a file of its size that is written over then.
    """
    path = folder / record.name / _RECORD
    spare = path.with_name(f".{_RECORD}.spare")
    content = json.dumps(asdict(record), indent=2).encode()
    try:
        with writing(path):
            write_atomically(path, content)
    except StoreError:
        if len(content) > _SPARE_BYTES or not _write_over(spare, content):
            raise
        spare.replace(path)
    if not spare.exists():
        with suppress(OSError):
            spare.write_bytes(b" " * _SPARE_BYTES)


def _write_over(spare: Path, content: bytes) -> bool:
    """Return whether a file could be written in the room that it has."""
    try:
        with spare.open("r+b") as file:
            file.write(content.ljust(_SPARE_BYTES))
    except OSError:
        return False
    return True


def is_running(process: ProcessId) -> bool:
    """Return whether a process still runs; another one of its number does not count."""
    return process.is_here and start_of(process.pid) == process.started


def remove(folder: Path, name: str) -> None:
    """Remove an endpoint's record and all its files."""
    with writing(folder):
        (folder / name / _RECORD).unlink(missing_ok=True)
    shutil.rmtree(folder / name, ignore_errors=True)


def token_path(settings: Settings, name: str) -> Path:
    """Return the file of an endpoint's bearer token."""
    return root(settings) / name / "token"


def read_token(settings: Settings, name: str) -> str | None:
    """Return an endpoint's bearer token; None when it asks for none."""
    path = token_path(settings, name)
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"The token of endpoint {name!r} cannot be read.",
            fix=f"Make {path} readable for you.",
        ) from error


def write_token(folder: Path, token: str) -> None:
    """Write an endpoint's bearer token, readable for its owner alone."""
    with writing(folder):
        new = folder / "token.new"
        new.touch(mode=0o600)
        new.write_text(token, "ascii")
        new.replace(folder / "token")


def last_words(folder: Path) -> str:
    """Return the line of an endpoint's log that says why it ended; "" without one."""
    last = ""
    for line in reversed(_log_end(folder)):
        stamp = _STAMP.match(line)
        level, text = (stamp[1], line[stamp.end() :]) if stamp else ("", line)
        if level in ("ERROR", "CRITICAL") or _CAUSE.match(text):
            return mask(text.strip())[:300]
        if level not in ("DEBUG", "INFO"):
            last = last or mask(text.strip())[:300]
    return last


def read_log_end(settings: Settings, name: str) -> tuple[str, ...]:
    """Return the last lines of an endpoint's log, with no secret in them."""
    check_known(settings, name)
    lines = _log_end(root(settings) / name)[-_MOST_LINES:]
    return tuple(mask("\n".join(lines)).splitlines())


def _log_end(folder: Path) -> list[str]:
    path = folder / "log.txt"
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16_384))
        return file.read().decode("utf-8", "replace").splitlines()
    return []
