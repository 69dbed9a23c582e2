"""The processes of endpoints: started, identified, stopped."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from nbmlops.errors import ConflictError, DeployError, UsageError
from nbmlops.processes import python_command, python_environ
from nbmlops.processes.process_id import ProcessId, start_of
from nbmlops.store.embedded import writing

_STOP_S = 12.0
_TICK_S = 0.02
_OF_PIPELINE = "NBMLOPS_PIPELINE_"


def listen(port: int | None) -> socket.socket:
    """Return a socket that listens on the loopback interface."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port or 0))
        listener.listen(512)
    except (OSError, OverflowError) as error:
        listener.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise ConflictError(
                f"Port {port} is in use.",
                fix="Choose another with port=, or leave it out for a free one.",
            ) from error
        raise UsageError(
            f"No endpoint can listen on port {port}: {error}.",
            fix="Choose one from 1024 to 65535 with port=, or leave it out.",
        ) from error
    return listener


def start(
    folder: Path, listener: socket.socket, *, no_auth: bool, trust: Sequence[str]
) -> subprocess.Popen[bytes]:
    """Start an endpoint process that waits for a line before it loads its model."""
    fd = listener.fileno()
    words = [str(folder), "--fd", str(fd), "--wait"]
    words += ["--no-auth"] if no_auth else []
    words += [f"--trust={module}" for module in trust]
    # An endpoint outlives the pipeline whose step deployed it.
    environ = {k: v for k, v in os.environ.items() if not k.startswith(_OF_PIPELINE)}
    with writing(folder), (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module
            python_command("nbmlops.serving", *words),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=python_environ(environ, folder),
            pass_fds=(fd,),
            start_new_session=True,
        )
    # It stays a zombie until it is waited for.
    threading.Thread(target=process.wait, daemon=True).start()
    return process


def let_load(process: subprocess.Popen[bytes]) -> None:
    """Tell a process from `start` that its model is there."""
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with suppress(OSError), process.stdin as pipe:
        pipe.write(b"go\n")


def is_running(process: ProcessId) -> bool:
    """Return whether a process still runs; another one of its number does not count."""
    return process.is_here and start_of(process.pid) == process.started


def stop(process: ProcessId) -> None:
    """End a process and its children: politely, then not; gone when this returns."""
    if not is_running(process):
        return
    try:
        found = psutil.Process(process.pid)
        children = found.children(recursive=True)
        found.terminate()
        if not _ended(process, _STOP_S):
            found.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        if _ended(process, _STOP_S):
            return
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise DeployError(
            f"Process {process.pid} may not be stopped by this user.",
            fix="Stop it as the user who deployed it.",
        ) from error
    raise DeployError(
        f"Process {process.pid} does not end.", fix=f"See why: ps -fp {process.pid}."
    )


def exit_reason(code: int) -> str:
    """Return how a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
    return f"signal {name}" + (", perhaps out of memory" if name == "SIGKILL" else "")


def _ended(process: ProcessId, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while is_running(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(_TICK_S)
    return True
