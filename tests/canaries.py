"""Modules that take note of who imports them, planted where nobody of ours may look."""

import os

NAMES = ("click", "filelock", "json", "mlflow", "numpy", "psutil", "sklearn", "yaml")
AT_START = ("sitecustomize", "usercustomize")
USER = "user-code"
"""A word on the command line of processes that are the user's own."""

_SOURCE = """
import importlib, os, sys
with open({log!r}, "a") as log:
    log.write(f"{{__name__}} in {{os.getpid()}}: {{sys.orig_argv}}\\n")
if __name__ not in {at_start!r}:
    folders, before = {folders!r}, sys.path[:]
    sys.path[:] = [p for p in before if os.path.realpath(p or ".") not in folders]
    del sys.modules[__name__]
    importlib.import_module(__name__)
    sys.path[:] = before
"""


def plant(log, *folders):
    """Put a module of each name into folders; each stands for the real one."""
    places = [os.path.realpath(folder) for folder in folders]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*NAMES, *AT_START):
            (folder / f"{name}.py").write_text(
                _SOURCE.format(log=str(log), at_start=AT_START, folders=places)
            )


def heard(log):
    """Return who imported one, a line each, less the user's own code and kernels."""
    lines = log.read_text().splitlines() if log.exists() else []
    own = (USER, "ipykernel_launcher")
    return [line for line in lines if not any(each in line for each in own)]
