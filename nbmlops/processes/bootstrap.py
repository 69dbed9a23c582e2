"""Runs a module: ``python -P bootstrap.py MODULE ...``; see `nbmlops.processes`."""

import os
import sys
from pathlib import Path

ORIGINAL = "_NBMLOPS_PYTHONPATH"
"""Holds the whole ``PYTHONPATH`` while the interpreter starts with a part of it."""


def main() -> None:
    """Run the module as ``__main__``, in the nbmlops that this file belongs to."""
    import importlib.util
    import runpy

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
