"""What every command prints: one JSON document, or something for people."""

from __future__ import annotations

import json
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from nbmlops._masking import mask

if TYPE_CHECKING:
    from nbmlops.entities import CellProgress

CommandOutput = tuple[object, object] | tuple[object, object, int]
"""The result of a command, what people read of it, and its exit code unless 0."""
_COMMANDS = (
    *("register", "deploy", "endpoints", "predict", "undeploy", "rehearse", "runs"),
    *("compare", "replay", "explain", "sync", "doctor", "pipeline"),
    *("promote", "rollback"),
)


def command(
    group: click.Group | None = None, name: str | None = None
) -> Callable[[Callable[..., CommandOutput]], click.Command]:
    """Make a command, with ``--json``, of a function that returns what it shows."""

    def decorate(function: Callable[..., CommandOutput]) -> click.Command:
        @wraps(function)
        def run(*, as_json: bool, **options: Any) -> int:
            from nbmlops.entities import to_json

            result, text, *code = function(**options)
            document = json.dumps(to_json(result), indent=2) if as_json else ""
            print(document or in_shell(str(text)))
            return code[0] if code else 0

        made = click.command(name)(run)
        words = ["--json", "as_json"]
        made.params.append(
            click.Option(words, is_flag=True, help="Print one JSON document.")
        )
        if group is not None:
            group.add_command(made)
        return made

    return decorate


experiment_option = click.option(
    "-e", "--experiment", help="Where latest and best: look."
)


def params_option(metavar: str, help: str) -> Callable[[Callable[..., Any]], Any]:
    """Return the option that sets a parameter, as often as it is given."""
    return click.option(
        "-p", "params", nargs=2, multiple=True, metavar=metavar, help=help
    )


def in_shell(text: str) -> str:
    """Return a message with our line magics written as the commands they are.

    >>> in_shell("List them with %runs; begin with %%track.")
    'List them with nbmlops runs; begin with %%track.'
    """
    return re.sub(rf"(?<!%)%({'|'.join(_COMMANDS)})\b", r"nbmlops \1", text)


def option_words(command: click.Command) -> dict[str, str]:
    """Return how a command, and those below it, spell what has a name in Python."""
    found = {
        str(each.name): max(each.opts, key=len)
        for each in command.params
        if isinstance(each, click.Option)
    }
    if isinstance(command, click.Group):
        for below in command.commands.values():
            found = option_words(below) | found
    return found


class CellLine:
    """A terminal's last line while a notebook runs; nothing where there is none."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._is_shown = False
        self._progress: CellProgress | None = None
        self._has_ended = threading.Event()

    def __enter__(self) -> CellLine:
        if sys.stderr.isatty():
            threading.Thread(target=self._show, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def __call__(self, progress: CellProgress) -> None:
        """Take how far it has come."""
        self._progress = progress

    def _show(self) -> None:
        from nbmlops.render.progress import CellBar

        while not self._has_ended.wait(0.2):
            if self._progress is not None:
                bar = repr(CellBar(self._progress, time.monotonic() - self._began))
                line = bar[: max(shutil.get_terminal_size().columns - 1, 0)]
                print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
                self._is_shown = True


def print_progress(line: str) -> None:
    """Print progress, which is no part of the result."""
    print(mask(line), file=sys.stderr, flush=True)
