"""The Python processes that nbmlops starts, and how a process is identified.

None of them imports from the project or the working folder, unless it runs the user's
notebook.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from nbmlops.processes.bootstrap import DETACHED, ORIGINAL

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
_INSTALLED_IN = os.path.realpath(Path(__file__).parents[2])


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the words that run a module as ``python -m`` does, but safely.

    The working folder is not imported from, and nbmlops is the one that runs here.
    """
    return [sys.executable, "-P", str(_BOOTSTRAP), module, *arguments]


def start_process(module: ModuleType, folder: Path) -> None:
    """Start a process that outlives this one, and that nobody waits for."""
    name = module.__name__
    process = subprocess.Popen(  # noqa: S603 - our own module
        python_command(name),
        cwd=folder,
        env=python_environ(os.environ, folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # Someone has to take note when it ends, else it stays as a zombie.
    threading.Thread(target=process.wait, name=f"nbmlops {name}", daemon=True).start()


def start_detached(module: str, folder: Path, *, stdin: int) -> int:
    """Start a process that is no child of this one; return its process group."""
    process = subprocess.Popen(  # noqa: S603 - our own module
        python_command(DETACHED, module),
        cwd=folder,
        env=python_environ(os.environ, folder),
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    process.wait()
    return process.pid


def python_environ(environ: Mapping[str, str], folder: str | Path) -> dict[str, str]:
    """Return an environment whose ``PYTHONPATH`` names nothing of a project.

    Relative entries are left out, for they mean the working folder, and so are those in
    the project around ``folder``. The bootstrap restores the variable for what the
    process starts, such as the user's kernels.
    """
    given = environ.get("PYTHONPATH")
    if not given:
        return dict(environ)
    from nbmlops.config import find_project  # an extension that loads waits for it

    project = os.path.realpath(find_project(Path(folder)))
    entries = [e for e in given.split(os.pathsep) if _is_safe(e, project)]
    safe = os.pathsep.join(entries)
    if safe == given:
        return dict(environ)
    return {**environ, "PYTHONPATH": safe, ORIGINAL: given}


def _is_safe(entry: str, project: str) -> bool:
    found = os.path.realpath(entry)
    if not Path(entry).is_absolute() or found == project:
        return False
    is_inside = Path(found).is_relative_to(project)
    return not is_inside or found == _INSTALLED_IN
