"""The fork server of an environment, started when it is wanted."""

from __future__ import annotations

import hashlib
import json
import os
import site
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from nbmlops.forkserver.registry import make_room
from nbmlops.forkserver.runtime_dir import (
    connect,
    home_of,
    listen,
    make_private,
)
from nbmlops.processes import python_environ

_HOST = Path(__file__).parent / "host"
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


class ForkServer:
    """A process that has imported what an environment's runs import, and forks them."""

    def __init__(
        self, environ: Mapping[str, str], *, idle_s: float, module: str = ""
    ) -> None:
        self._environ = environ
        self._idle_s = idle_s
        self._module = module
        self._folder = home_of(environ) / _key(environ, module)

    def connect(self) -> socket.socket:
        """Return a connection to the server, which is started where there is none."""
        with suppress(FileNotFoundError, ConnectionRefusedError):
            return connect(self._folder)
        self.begin()
        return connect(self._folder)

    def begin(self) -> None:
        """Start it where there is none, without waiting until it has imported."""
        with FileLock(make_private(self._folder) / "start.lock"):
            with suppress(OSError):
                connect(self._folder).close()
                return
            make_room(self._folder.parent, self._folder)
            with listen(self._folder) as listener:
                words = [str(self._folder), str(listener.fileno()), str(self._idle_s)]
                subprocess.run(  # noqa: S603
                    # Without -P, which IPython asks for in each fork, to import or not
                    # from its notebook's folder. What Python puts on the path is _HOST.
                    [sys.executable, str(_HOST), *words, self._module],
                    env=_of_parent(self._environ),
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    pass_fds=[listener.fileno()],
                    check=False,
                )


def _key(environ: Mapping[str, str], module: str = "") -> str:
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
    parts = [
        module,
        sys.executable,
        sys.prefix,
        sys.version,
        sorted((path, _changed_at(path)) for path in packages),
        _changed_at(_HOST),
        sorted(os.getgroups()),
        spaces,
        sorted(_relevant(environ).items()),
        _of_parent(environ).get("PYTHONPATH"),  # without what this project has in it
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


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
    kept["MLFLOW_DISABLE_TELEMETRY"] = "true"  # a thread; each run decides again
    kept = python_environ(kept, Path.cwd())
    backend = environ.get("MPLBACKEND") or _PRELOAD["MPLBACKEND"]
    return kept | _PRELOAD | {"MPLBACKEND": backend}
