"""Start a fork server: ``python HOST FOLDER SOCKET IDLE_S MODULE``, as a daemon."""

import importlib.util
import os
import sys
from pathlib import Path

_NAME = "_nbmlops_warm"


def _detach(folder: str) -> None:
    """Leave the process that asked, and write to the folder's log from now on."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for path, mode, fd in (
        (os.devnull, os.O_RDONLY, 0),
        (f"{folder}/log", flags, 1),
    ):
        opened = os.open(path, mode, 0o600)
        os.dup2(opened, fd)
        os.close(opened)
    os.dup2(1, 2)


def _run(folder: str, listener: str, idle_s: str, module: str) -> None:
    here = Path(__file__).parent
    spec = importlib.util.spec_from_file_location(
        _NAME, here / "__init__.py", submodule_search_locations=[str(here)]
    )
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018
    package = sys.modules[_NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    sys.modules["debugpy"] = None  # type: ignore[assignment] # it starts threads
    server = importlib.import_module(f"{_NAME}.server")
    del sys.modules["debugpy"]
    server.Server(Path(folder), int(listener), float(idle_s), module).serve()


if __name__ == "__main__":
    _detach(sys.argv[1])
    del sys.path[0]  # this folder: what a kernel of this Python does not have
    _run(*sys.argv[1:])
