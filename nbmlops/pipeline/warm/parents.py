"""The parents of warm runs: where each keeps its things, starting and stopping them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import site
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_HOST = Path(__file__).parent / "host"
_START_S = 30.0
_POLL_S = 0.005
_CONTROL_BYTES = 512  # below PIPE_BUF: requests of several clients do not mix
# What may change how a module is when it has been imported, or how it is loaded.
_PREFIXES = (
    *("PYTHON", "LD_", "OMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "KMP_", "GOMP_"),
    *("NUMEXPR_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "MALLOC_", "JE_", "MPLBACKEND"),
    *("MPLCONFIG", "IPYTHON", "JUPYTER_CONFIG", "LANG", "LC_", "TZ", "SCIPY_"),
    *("PATH", "HOME", "XDG_", "SHELL", "SSL_", "SKLEARN_", "PANDAS_"),
)
_BY_SKLEARN = ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")  # set when it is imported
_PRELOAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


class NotWarm(Exception):  # noqa: N818 - a cold kernel will do
    """A notebook is not to run in a fork; the reason is for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentState:
    """What `nbmlops warm status` says of a parent.

    Attributes
    ----------
    pid : int
        Its process id.
    state : str
        ``starting``, ``ready`` or ``leaving``.
    python : str
        Its interpreter.
    started_at : datetime
        When, UTC.
    n_runs : int
        Runs it has forked.
    n_running : int
        Those that go on.
    modules : tuple of str
        Packages it has imported.
    """

    pid: int
    state: str
    python: str
    started_at: datetime
    n_runs: int
    n_running: int
    modules: tuple[str, ...]


class Parent:
    """The parent for an environment, started when it is wanted.

    Parameters
    ----------
    environ : Mapping of str to str
        The environment of the runs.
    idle_s : float
        Seconds without a run after which a parent that is started leaves.
    """

    def __init__(self, environ: Mapping[str, str], *, idle_s: float) -> None:
        self._environ = environ
        self._idle_s = idle_s
        self.folder = _home(environ) / _key(environ)

    def ask(self, run: Path) -> None:
        """Have the parent look at the folder of a run; start it where there is none.

        Parameters
        ----------
        run : Path
            The folder, below `runs`.

        Raises
        ------
        NotWarm
            No parent could be started.
        """
        request = f"run {run.name}\n".encode()
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            if _say(self.folder, request):
                return
            if not is_alive(self.folder):
                self._start()
            time.sleep(_POLL_S)
        raise NotWarm(f"its parent did not start: see {self.folder / 'log'}")

    def runs(self) -> Path:
        """Return the folder in which the folders of runs are."""
        _make_private(self.folder)
        return _make_private(self.folder / "runs")

    def _start(self) -> None:
        with _locked(self.folder / "start.lock"):
            if is_alive(self.folder):
                return
            wanted = {
                "idle_s": self._idle_s,
                "started_at": datetime.now(UTC).isoformat(),
            }
            (self.folder / "wanted.json").write_text(json.dumps(wanted))
            for name in ("about.json", "control"):  # of one that was killed
                (self.folder / name).unlink(missing_ok=True)
            subprocess.run(  # noqa: S603
                [sys.executable, str(_HOST), str(self.folder)],
                env=_of_parent(self._environ),
                stdin=subprocess.DEVNULL,
                check=False,
            )
            until = time.monotonic() + _START_S
            while not (self.folder / "control").exists():
                if time.monotonic() > until:
                    break
                time.sleep(_POLL_S)


def _home(environ: Mapping[str, str]) -> Path:
    """Return the user's folder of parents, which nobody else can write to."""
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return _make_private(Path(runtime, "nbmlops", "warm"))
    return _make_private(Path(tempfile.gettempdir(), f"nbmlops-{os.getuid()}", "warm"))


def _make_private(folder: Path) -> Path:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    for each in (folder, folder.parent):
        found = each.lstat()
        is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not is_ours or found.st_mode & 0o022:
            raise NotWarm(f"{each} is not a folder that only you can write to")
    return folder


def _key(environ: Mapping[str, str]) -> str:
    """Return what is the same for two runs only where one parent is good for both."""
    paths = sysconfig.get_paths()
    packages = {paths["purelib"], paths["platlib"], *site.getsitepackages()}
    packages.add(site.getusersitepackages())
    kinds = ("mnt", "pid", "net")
    spaces: list[object] = [
        Path(f"/proc/self/ns/{kind}").stat().st_ino for kind in kinds
    ]
    with suppress(OSError):
        spaces.append(Path("/proc/self/cgroup").read_text())
    told = [
        sys.executable,
        sys.prefix,
        sys.version,
        sorted((path, _changed_at(path)) for path in packages),
        _changed_at(_HOST),
        sorted(os.getgroups()),
        spaces,
        sorted(_relevant(environ).items()),
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _changed_at(path: str | Path) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0


def _relevant(environ: Mapping[str, str]) -> dict[str, str]:
    found = {
        name: value
        for name, value in environ.items()
        if name.startswith(_PREFIXES) and name not in _BY_SKLEARN
    }
    if found.get("MPLBACKEND") == _PRELOAD["MPLBACKEND"]:
        del found["MPLBACKEND"]  # what a kernel sets where nothing is
    return found


def _of_parent(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a parent: the runs' less what differs between them."""
    of_a_run = ("NBMLOPS_", "MLFLOW_", "JPY_", "MPLBACKEND")
    kept = {k: v for k, v in environ.items() if not k.startswith(of_a_run)}
    kept["MLFLOW_DISABLE_TELEMETRY"] = "true"  # a thread; each run decides anew
    backend = environ.get("MPLBACKEND") or _PRELOAD["MPLBACKEND"]
    return kept | _PRELOAD | {"MPLBACKEND": backend}


def is_alive(folder: Path) -> bool:
    """Return whether a parent holds the lock of a folder.

    Parameters
    ----------
    folder : Path
        Of a parent.

    Returns
    -------
    bool
        Also when it has yet to become ready.
    """
    try:
        lock = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _say(folder: Path, line: bytes) -> bool:
    """Write a line to a parent, where one listens."""
    assert len(line) < _CONTROL_BYTES  # noqa: S101
    try:
        control = os.open(folder / "control", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.write(control, line) == len(line)
    except (BlockingIOError, BrokenPipeError):
        return False
    finally:
        os.close(control)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def list_parents() -> tuple[ParentState, ...]:
    """Return the parents of this user that live here.

    Returns
    -------
    tuple of ParentState
        The oldest first.
    """
    found = []
    for folder in _folders():
        if not is_alive(folder):
            continue
        wanted = json.loads((folder / "wanted.json").read_text())
        about: dict[str, Any] = {
            "pid": 0,
            "state": "starting",
            "python": sys.executable,
            "n_runs": 0,
            "n_running": 0,
            "modules": (),
        }
        with suppress(OSError, ValueError):
            about |= json.loads((folder / "about.json").read_text())
        about["started_at"] = datetime.fromisoformat(wanted["started_at"])
        found.append(ParentState(**about | {"modules": tuple(about["modules"])}))
    return tuple(sorted(found, key=lambda parent: parent.started_at))


def stop_parents() -> tuple[ParentState, ...]:
    """Have every parent leave when what it runs has ended.

    Returns
    -------
    tuple of ParentState
        Those that were told to.
    """
    told = list_parents()
    until = time.monotonic() + _START_S
    for folder in _folders():
        while is_alive(folder) and time.monotonic() < until:
            _say(folder, b"stop\n")
            time.sleep(_POLL_S)
        if not is_alive(folder):
            _forget(folder)
    return told


def _forget(folder: Path) -> None:
    """Remove the folder of a parent that has gone, unless one of its runs goes on."""
    with suppress(OSError):
        runs = folder / "runs"
        if not runs.exists() or not any(runs.iterdir()):
            shutil.rmtree(folder)


def _folders() -> tuple[Path, ...]:
    home = _home(os.environ)
    return tuple(sorted(each for each in home.iterdir() if each.is_dir()))
