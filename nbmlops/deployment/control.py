"""How a project's supervisor is reached, and started where there is none."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nbmlops import errors
from nbmlops.deployment import records
from nbmlops.deployment.records import LOCAL
from nbmlops.errors import DeployError, NbmlopsError
from nbmlops.processes import python_command, python_environ
from nbmlops.processes.channel import Channel, Document

MODULES = {
    LOCAL: "nbmlops.deployment.supervisor",
    "ray": "nbmlops.deployment.ray",
}
"""What supervises the endpoints of each target."""
_OF_PIPELINE = "NBMLOPS_PIPELINE_"
_BACKLOG = 128
_LONGEST_PATH = 90
_START_S = 30.0
_ANSWER_S = 600.0
_ATTEMPTS = 3


def request(
    folder: Path,
    document: Mapping[str, Any],
    *,
    target: str = LOCAL,
    starts: bool = True,
    timeout_s: float = _ANSWER_S,
) -> Document:
    """Return the supervisor's answer to a request, or raise its error.

    Raises FileNotFoundError where there is no supervisor and ``starts`` is false. One
    that ends before it answers is asked again, or its successor: what is asked for can
    be done twice.
    """
    for attempt in reversed(range(_ATTEMPTS)):
        channel = Channel((connect if starts else _connect)(folder, target))
        try:
            channel.send(document)
            answer = channel.receive(timeout_s)
        except (OSError, EOFError) as error:
            if not attempt:
                raise DeployError(
                    "The supervisor of the endpoints ended before it answered.",
                    fix=f"See {records.log_path(folder, target)}, then send it again.",
                ) from error
        else:
            if answer["type"] == "error":
                raise read_error(answer)
            return answer
        finally:
            channel.close()
    raise AssertionError


def read_error(answer: Document) -> NbmlopsError:
    """Return the error that a document tells of."""
    kind = getattr(errors, str(answer.get("error")), DeployError)
    if not (isinstance(kind, type) and issubclass(kind, NbmlopsError)):
        kind = DeployError
    return kind(str(answer["problem"]), fix=str(answer["fix"]))


def connect(folder: Path, target: str = LOCAL) -> socket.socket:
    """Return a connection to a target's supervisor, started where there is none."""
    with suppress(FileNotFoundError, ConnectionRefusedError):
        return _connect(folder, target)
    with FileLock(folder / ".supervisor.lock", timeout=_START_S):
        with suppress(FileNotFoundError, ConnectionRefusedError):
            return _connect(folder, target)
        _start(folder, target)
        return _connect(folder, target)


def reconnect(folder: Path) -> socket.socket | None:
    """Return a connection to the next supervisor, started by one worker of all."""
    try:
        with suppress(FileNotFoundError, ConnectionRefusedError):
            return _connect(folder)
        with FileLock(folder / ".supervisor.lock", timeout=0):
            with suppress(FileNotFoundError, ConnectionRefusedError):
                return _connect(folder)
            _start(folder)
            return _connect(folder)
    except (OSError, Timeout):
        return None


def _start(folder: Path, target: str = LOCAL) -> None:
    """Start a supervisor; who connects from now on waits until it listens."""
    with _listen(records.socket_path(folder, target)) as listener:
        words = [str(folder), str(listener.fileno())]
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_OF_PIPELINE)  # it outlives the step that deploys
        }
        with records.log_path(folder, target).open("ab") as log:
            subprocess.run(  # noqa: S603 - our own module
                python_command("--detached", MODULES[target], *words),
                cwd=folder,
                env=python_environ(environ, folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
                start_new_session=True,
                check=False,
            )


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        with _address(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _connect(folder: Path, target: str = LOCAL) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(records.socket_path(folder, target)) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


class _address:  # noqa: N801 - a context manager
    """A path that a socket can have, which is 107 bytes at most."""

    def __init__(self, path: Path) -> None:
        self._path, self._folder = path, -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= _LONGEST_PATH:
            return str(self._path)
        if sys.platform != "linux":
            raise DeployError(
                f"{self._path} is too long a path for a socket.",
                fix="Move the project to a folder with a shorter path.",
            )
        self._folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        if self._folder >= 0:
            os.close(self._folder)


if __name__ == "__main__":  # a worker in an environment of its own has no supervisor
    connect(Path(sys.argv[1])).close()
