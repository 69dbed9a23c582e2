"""The kinds of store that the benchmarks of tracking run on.

Run those as modules from the project's folder: they use the tests' servers.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from nbmlops.store import embedded
from tests import postgres, servers

STORES = ("sqlite", "mlflow.db", "postgresql", "http")


@contextmanager
def project(root: Path, uri: str | None = None) -> Iterator[None]:
    """Work in a new project in ``root`` that tracks in ``uri``, or in its own store."""
    (root / ".nbmlops").mkdir(parents=True)
    before = Path.cwd()
    os.chdir(root)
    if uri is not None:
        os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        yield
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        os.chdir(before)


@contextmanager
def tracked_in(kind: str, root: Path) -> Iterator[str]:
    """Work in a new project in ``root`` with a kind of store, and give the store's URI.

    ``sqlite`` is the project's own file, which has a write-ahead log: plain MLflow,
    given the same file, is faster on it than on ``mlflow.db``, as it makes one itself.
    PostgreSQL waits for its disk. The server of ``http`` is MLflow's, on such an SQLite
    file as the first.
    """
    if kind == "sqlite":
        with project(root):
            embedded.ensure(root / ".nbmlops")
            yield embedded.tracking_uri(root / ".nbmlops")
    elif kind == "mlflow.db":
        uri = f"sqlite:///{root / kind}"
        with project(root, uri):
            yield uri
    elif kind == "postgresql":
        with (
            postgres.running(durable=True) as server,
            server.database() as uri,
            project(root, uri),
        ):
            yield uri
    elif kind == "http":
        folder = root.with_name("server")
        folder.mkdir()
        with servers.serving(folder) as served, project(root, served.url):
            yield served.url
    else:
        raise ValueError(f"{kind!r} is none of {', '.join(STORES)}")


def prepare() -> None:
    """Hide what the machine says of tracking, as the tests do."""
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "_MLFLOW_", "NBMLOPS_")):
            del os.environ[name]
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # Processes that may not keep their bytecode would compile MLflow each time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def versions() -> str:
    """Return what was measured, on what."""
    names = ("nbmlops", "mlflow", "scikit-learn", "SQLAlchemy", "psycopg")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    return f"{packages}, Python {platform.python_version()}, {machine}"
