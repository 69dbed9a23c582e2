"""The store of a project, and how its failures become ours."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nbmlops._masking import mask
from nbmlops.config import Settings, load_settings
from nbmlops.errors import (
    ConflictError,
    DependencyError,
    NotFoundError,
    StoreError,
    UsageError,
)
from nbmlops.store import embedded

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PROBE_TIMEOUT_S = 3
_FIX = "Start it, or fix MLFLOW_TRACKING_URI; or unset it."
_DATABASES = ("postgresql", "mysql", "mssql")
_ROOT_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_ROOT"
_DOUBTFUL = ("BAD_REQUEST", "INTERNAL_ERROR", "INVALID_STATE", "MALFORMED_REQUEST")
_REFUSED_HTTP = (400, 409, 411, 413, 414, 415, 422)
_REFUSALS = ("PERMISSION_DENIED", "UNAUTHENTICATED", "ENDPOINT_NOT_FOUND")
TRANSIENT = (408, 429, 500, 502, 503, 504)
_HTTP_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
}
_QUIETER = {
    # MLflow's own defaults hold a caller up for four minutes when a server is gone,
    # report usage to a host outside, and print below the user's cell.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where a project's runs and models are recorded."""

    settings: Settings
    uri: str = field(repr=False)

    @property
    def is_embedded(self) -> bool:
        """Whether this is the project's own SQLite store."""
        return self.uri == embedded.tracking_uri(self.settings.home)

    @property
    def is_served(self) -> bool:
        """Whether an MLflow server answers for the database."""
        return urlsplit(self.uri).scheme in ("http", "https")

    @property
    def shown_uri(self) -> str:
        """The URI without the password or token it may hold."""
        return mask(self.uri)

    @property
    def host(self) -> str:
        """The server's name and port."""
        return urlsplit(self.uri).netloc.rpartition("@")[2]

    def load(self) -> None:
        """Import what speaks to this store, without asking the store anything."""
        prepare_environment()
        import mlflow.tracking.client  # noqa: F401

        if not self.is_served:
            load_database_code()

    @property
    def client(self) -> MlflowClient:
        """A client of this store; importing mlflow is paid for here."""
        prepare_environment()
        root = None
        if self.is_embedded or not (self.is_served or _ROOT_VARIABLE in os.environ):
            root = str(embedded.artifact_root(self.settings.home))
        return _client(self.uri, root, os.environ.get("MLFLOW_REGISTRY_URI"))


@lru_cache(maxsize=8)
def _client(uri: str, root: str | None, registry: str | None) -> MlflowClient:
    """Return a client; MLflow takes longer to make one than to ask it something.

    ``registry`` is what MLflow itself looks up, also after `mlflow.set_registry_uri`.
    """
    import mlflow

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with _artifact_root(root):
        return mlflow.MlflowClient(tracking_uri=uri)


@cache
def load_database_code() -> None:
    """Load what the first question to a database would otherwise wait for."""
    import mlflow.store.model_registry.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_workspace_store
    import mlflow.tracing.processor.base_mlflow  # noqa: F401
    import sqlalchemy.dialects.sqlite  # noqa: F401
    from mlflow.store.db.utils import _get_latest_schema_revision
    from sqlalchemy.orm import configure_mappers

    configure_mappers()
    _get_latest_schema_revision()


def connect(settings: Settings | None = None, *, must_answer: bool = True) -> Store:
    """Return the project's store, made on first use."""
    settings = settings or load_settings()
    own = embedded.tracking_uri(settings.home)
    uri = settings.tracking_uri or own
    if uri == own:
        embedded.ensure(settings.home)
    store = Store(settings=settings, uri=uri)
    if must_answer:
        probe(store)
    return store


def prepare_environment() -> None:
    """Set the variables MLflow reads, where the user has not set them."""
    for name, value in _QUIETER.items():
        os.environ.setdefault(name, value)


@contextmanager
def _artifact_root(root: str | None) -> Iterator[None]:
    """Have MLflow's store, made once a process, keep its artifacts in the project.

    It would otherwise keep them below the working folder, and so those of one project
    in as many places as it has folders with notebooks. Kernels started meanwhile must
    not inherit it for good.
    """
    before = os.environ.get(_ROOT_VARIABLE)
    if root is not None:
        os.environ[_ROOT_VARIABLE] = root
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_ROOT_VARIABLE, None)
        else:
            os.environ[_ROOT_VARIABLE] = before


def probe(store: Store) -> None:
    """Ask a tracking server or a database whether it takes a connection."""
    parts = urlsplit(store.uri)
    if parts.scheme.partition("+")[0] in _DATABASES:
        _ask_database(store)
    if not store.is_served or not parts.hostname:
        return
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:  # it may be part of a password, so it is not shown
        raise UsageError(
            "The port in MLFLOW_TRACKING_URI is no number.",
            fix="Write %2F, %3A and %40 for '/', ':' and '@' in a password.",
        ) from None
    try:
        socket.create_connection((parts.hostname, port), _PROBE_TIMEOUT_S).close()
    except OSError as error:
        raise unreachable(store) from error


def unreachable(store: Store) -> StoreError:
    """Return the error of a server that does not answer."""
    return StoreError(f"The tracking server {store.host} does not answer.", fix=_FIX)


def _ask_database(store: Store) -> None:
    """Connect once: MLflow would retry a wrong password for minutes, unseen."""
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    is_odd = store.uri.startswith("mssql")
    limit = {} if is_odd else {"connect_timeout": _PROBE_TIMEOUT_S}
    try:
        sqlalchemy.create_engine(
            store.uri, poolclass=sqlalchemy.NullPool, connect_args=limit
        ).connect().close()
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"The store at {store.shown_uri} needs the package {error.name!r}.",
            fix='For PostgreSQL: pip install "nbmlops[postgres]".',
        ) from error
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise StoreError(
            f"The database at {store.shown_uri} does not answer: {reason}.", fix=_FIX
        ) from error


class ApiError(Exception):
    """What an MLflow server answers instead of what was asked."""

    def __init__(self, error_code: str, message: str) -> None:
        super().__init__(message)
        self.error_code, self.message = error_code, message

    @classmethod
    def of(cls, status: int, content: bytes) -> ApiError:
        """Return the error of an answer with this status."""
        text = content.decode("utf-8", "replace")
        try:
            answer = json.loads(text)
            return cls(answer["error_code"], answer.get("message", ""))
        except (ValueError, KeyError, TypeError):
            if status in TRANSIENT:
                return cls("INTERNAL_ERROR", f"too many {status} error responses")
            code = _HTTP_CODES.get(status, "BAD_REQUEST")
            return cls(code, f"HTTP {status}: {text[:200]}")


def _errors(*classes: type[Exception] | str) -> tuple[type[Exception], ...]:
    """Return the classes; of those given by name, the ones whose library is loaded."""
    found: list[type[Exception]] = []
    for each in classes:
        if not isinstance(each, str):
            found.append(each)
            continue
        module, _, name = each.rpartition(".")
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


@contextmanager
def answering(store: Store, *, missing: str = "", fix: str = "") -> Iterator[None]:
    """Turn MLflow's errors inside the block into ours, by their code."""
    try:
        yield
    except _errors(ApiError, "mlflow.exceptions.MlflowException") as error:
        refusal: Any = error
        match refusal.error_code:
            case "RESOURCE_DOES_NOT_EXIST":
                raise NotFoundError(
                    missing or mask(str(refusal.message)),
                    fix=fix or "See `nbmlops runs`.",
                ) from error
            case "RESOURCE_ALREADY_EXISTS":
                raise ConflictError(
                    mask(str(refusal.message)), fix="Choose another name."
                ) from error
            case "INVALID_PARAMETER_VALUE":
                raise UsageError(
                    mask(str(refusal.message)), fix="Change the value as MLflow says."
                ) from error
        raise _failed(store, error) from error
    except _errors(OSError, sqlite3.Error, "sqlalchemy.exc.SQLAlchemyError") as error:
        reply = getattr(error, "response", None)  # of an artifact server
        if getattr(reply, "status_code", None) in _REFUSED_HTTP:
            raise UsageError(
                mask(str(error)), fix="Change what is sent as the server says."
            ) from error
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            raise UsageError(
                f"The name is too long for a disk: {mask(str(error))}.",
                fix="Choose a shorter one.",
            ) from error
        raise _failed(store, error) from error


def _failed(store: Store, error: Exception) -> StoreError:
    text = mask(str(error))
    if store.is_embedded or isinstance(error, OSError):
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__
        refused = cause if isinstance(cause, OSError) else error
        if isinstance(refused, OSError) or "disk is full" in text or "readonly" in text:
            return embedded.disk_error(refused, store.settings.home)
    if store.is_served and (code := re.search(r"too many (\d+) error responses", text)):
        return StoreError(
            f"The tracking server {store.host} answers with errors (HTTP {code[1]}).",
            fix="Look into its log, then run it again.",
        )
    if store.is_served and "failed with exception" in text:
        return unreachable(store)
    if "out-of-date database schema" in text:
        uri = f"'{store.uri}'" if store.is_embedded else '"$MLFLOW_TRACKING_URI"'
        failure = StoreError(
            "The store was made by another MLflow version.",
            fix=f"Back it up, then run: mlflow db upgrade {uri}.",
        )
        failure.is_outage = False
        return failure
    failure = StoreError(
        f"The store at {store.shown_uri} failed: {text.splitlines()[0][:300]}.",
        fix="See that it runs and can be reached, then run it again.",
    )
    reason = getattr(error, "error_code", "BAD_REQUEST")
    failure.is_outage = reason not in _REFUSALS
    failure.is_doubtful = reason in _DOUBTFUL
    return failure
