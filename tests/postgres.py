"""A real PostgreSQL for tests: a server of their own, and a database for each test.

The server runs from the distribution's programs, in a temporary folder, on a random
port of the loopback interface, with a password. One database is migrated for MLflow;
each test gets a copy of it, which costs some ten milliseconds instead of seconds.
"""

import os
import pwd
import secrets
import shlex
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from tests.ports import free_port

_USER = "nbmlops"
_TEMPLATE = "mlflow_template"


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A running server.

    Attributes
    ----------
    folder : Path
        Where its data are.
    port : int
        TCP port of the loopback interface.
    password : str
        Of its one user, full of characters that a URI must quote.
    """

    folder: Path
    port: int
    password: str

    def uri(self, database, scheme="postgresql"):
        """Return the tracking URI of a database."""
        secret = quote(self.password, safe="")
        return f"{scheme}://{_USER}:{secret}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement, database="postgres"):
        """Run one statement outside of a transaction."""
        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=_USER,
            password=self.password,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        ) as connection:
            return connection.execute(statement)

    @contextmanager
    def database(self):
        """Give the URI of a new, migrated, empty database, and drop it at the end."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        try:
            yield self.uri(name)
        finally:
            # MLflow keeps its connections for as long as the process lives.
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


def programs():
    """Return the folder of PostgreSQL's server programs.

    Raises
    ------
    FileNotFoundError
        They are not installed; it names the package.
    """
    on_path = shutil.which("initdb")
    # Debian keeps them off the PATH, a folder a version.
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if on_path is None and not found:
        raise FileNotFoundError(
            "These tests need PostgreSQL's server programs (initdb, postgres): "
            "install the package postgresql (apt-get install postgresql)."
        )
    return Path(on_path).parent if on_path else found[-1].parent


def _version(path):
    name = path.parents[1].name
    return int(name) if name.isdigit() else 0


def _unprivileged():
    """Return how a subprocess runs as a user PostgreSQL agrees to serve as."""
    if os.geteuid() != 0:
        return {}
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = users.get("postgres") or users["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextmanager
def running(*, durable=False):
    """Give a started server with a migrated template, and stop it at the end.

    Parameters
    ----------
    durable : bool, default=False
        Whether commits wait for the disk, as they do by default; for timings.
    """
    bin_folder, as_user = programs(), _unprivileged()
    # Not below pytest's folder: only its owner may enter that one.
    folder = Path(tempfile.mkdtemp(prefix="nbmlops-postgres-"))
    server = Postgres(
        folder=folder, port=free_port(), password=f"p@:/%?#&{secrets.token_hex(8)}"
    )
    password_file = folder / "password"
    password_file.write_text(server.password, encoding="utf-8")
    if as_user:
        for path in (folder, password_file):
            os.chown(path, as_user["user"], as_user["group"])
    log = folder / "log"
    pg_ctl = (bin_folder / "pg_ctl", "--pgdata", folder / "data", "--wait", "--silent")
    is_started = False
    try:
        with log.open("wb") as written:
            subprocess.run(
                [
                    *(bin_folder / "initdb", "--pgdata", folder / "data", "--no-sync"),
                    *("--username", _USER, "--pwfile", password_file),
                    *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
                ],
                check=True,
                cwd=folder,
                stdout=written,
                stderr=written,
                **as_user,
            )
        password_file.unlink()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": server.port,
            "unix_socket_directories": folder,
        }
        if not durable:
            options |= dict.fromkeys(
                ("fsync", "synchronous_commit", "full_page_writes"), "off"
            )
        words = shlex.join(f"-c{name}={value}" for name, value in options.items())
        # As a daemon it is no child of a test that interrupts its children.
        os.chown(log, as_user.get("user", -1), as_user.get("group", -1))
        subprocess.run(
            [*pg_ctl, "--log", log, "--options", words, "start"],
            check=True,
            cwd=folder,
            **as_user,
        )
        is_started = True
        _make_template(server)
        yield server
    except Exception as error:
        error.add_note(log.read_text(errors="replace")[-2000:])
        raise
    finally:
        if is_started:
            subprocess.run([*pg_ctl, "--mode", "fast", "stop"], check=True, **as_user)
        shutil.rmtree(folder)


def _make_template(server):
    """Have MLflow make its tables, once."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from nbmlops.store.embedded import quiet

    server.execute(f"CREATE DATABASE {_TEMPLATE}")
    uri = server.uri(_TEMPLATE)
    with quiet("alembic", "mlflow.store.db.utils"):
        SqlAlchemyStore(uri, "/nonexistent").engine.dispose()
    SqlAlchemyStore._engine_map.pop(uri)


@pytest.fixture(scope="session")
def postgres():
    """Return a PostgreSQL server for the whole test run."""
    with running() as server:
        yield server


@pytest.fixture
def postgres_uri(postgres):
    """Return the tracking URI of a new, migrated, empty database."""
    with postgres.database() as uri:
        yield uri
