"""The ``nbmlops`` command: a file for each family of commands.

A command parses its words, calls one function and prints; it decides nothing.
"""

from nbmlops.cli.main import main

__all__ = ["main"]
