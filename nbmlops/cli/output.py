"""What every command prints: one JSON document, or something for people."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from nbmlops._masking import mask

F = TypeVar("F", bound=Callable[..., Any])
_COMMANDS = (
    *("register", "deploy", "endpoints", "predict", "undeploy", "runs"),
    *("compare", "replay", "explain", "sync", "doctor", "pipeline"),
)


def json_option(command: F) -> F:
    """Add ``--json`` to a command, as its argument ``as_json``."""
    option = click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document."
    )
    return option(command)


def show(value: object, *, as_json: bool, text: object) -> None:
    """Print the result of a command.

    Parameters
    ----------
    value : object
        Nouns, for ``--json``.
    as_json : bool
        Whether to print JSON.
    text : object
        What a person reads, otherwise.
    """
    from nbmlops.entities import to_json

    print(json.dumps(to_json(value), indent=2) if as_json else in_shell(str(text)))


def in_shell(text: str) -> str:
    """Return a message with our line magics written as the commands they are.

    Parameters
    ----------
    text : str
        What the notebook would show.

    Returns
    -------
    str
        What to type in a shell.

    Examples
    --------
    >>> in_shell("List them with %runs; begin with %%track.")
    'List them with nbmlops runs; begin with %%track.'
    """
    return re.sub(rf"(?<!%)%({'|'.join(_COMMANDS)})\b", r"nbmlops \1", text)


def tell(line: str) -> None:
    """Print progress, which is no part of the result."""
    print(mask(line), file=sys.stderr, flush=True)
