"""Runs a module: ``python -P bootstrap.py MODULE ...``; see `nbmlops.processes`."""

import os
import sys

ORIGINAL = "_NBMLOPS_PYTHONPATH"
"""Holds the whole ``PYTHONPATH`` while the interpreter starts with a part of it."""
DETACHED = "--detached"
"""Has the module run in a process that is no child of the one that starts it."""


def main() -> None:
    """Run the module as ``__main__``, in the nbmlops that this file belongs to."""
    if sys.argv[1] == DETACHED:
        del sys.argv[1]
        if os.fork():
            os._exit(0)
    import importlib.util
    import runpy
    from pathlib import Path

    package = Path(__file__).parents[1]
    spec = importlib.util.spec_from_file_location(package.name, package / "__init__.py")
    assert spec is not None  # noqa: S101 - it is a Python file
    assert spec.loader is not None  # noqa: S101 - it is a Python file
    sys.modules[package.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[package.name])
    if ORIGINAL in os.environ:
        os.environ["PYTHONPATH"] = os.environ.pop(ORIGINAL)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
