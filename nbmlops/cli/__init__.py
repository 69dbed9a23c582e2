"""The ``nbmlops`` command."""

from nbmlops.cli.main import main

__all__ = ["main"]
