"""Lines of magics, parsed; an error says what is wrong before anything runs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from nbmlops.errors import NbmlopsError, UsageError, in_words

if TYPE_CHECKING:
    from nbmlops.tracking.resources.budget import Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackOptions:
    """What a ``%%track`` or ``%track on`` line asks for."""

    name: str
    experiment: str | None
    params: tuple[tuple[str, str], ...]
    metrics: tuple[tuple[str, str], ...]
    datasets: tuple[tuple[str, str], ...]
    tags: tuple[tuple[str, str], ...]
    is_nested: bool
    has_autolog: bool
    budget: Budget | None = None
    is_trusting: bool = False

    @property
    def expressions(self) -> tuple[str, ...]:
        """All that is looked up when the code has run."""
        pairs = (*self.params, *self.metrics, *self.datasets)
        return tuple(expression for _, expression in pairs)


class LineParser(argparse.ArgumentParser):
    """An argument parser for one magic, whose errors are ours."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog=prog, add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Refuse the line."""
        usage = " ".join(self.format_usage().removeprefix("usage: ").split())
        raise UsageError(f"{self.prog}: {message}.", fix=f"Write it as: {usage}")

    def parse_line(self, line: str) -> argparse.Namespace:
        """Return the arguments of a magic's line."""
        return self.parse_args(self.split(line))

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Have the errors inside name the options as they are in the line."""
        options = {each.dest: each.option_strings for each in self._actions}
        words = {name: max(each, key=len) for name, each in options.items() if each}
        try:
            yield
        except NbmlopsError as error:
            error.fix = in_words(error.fix, words)
            raise

    def split(self, line: str) -> list[str]:
        """Return the words of a line, without quotes around a word or its NAME."""
        words = _WORD.findall(line)
        for word in words:
            if word[0] in "'\"" and word.count(word[0]) == 1:
                self.error(f"{line!r} has a quote without its end")
        return [_unquoted(word) for word in words]


_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|\S)+""")  # quotes hold spaces together
_QUOTED = re.compile(r"""(?:'([^']*)'|"([^"]*)")(=.*)?""")


def _unquoted(word: str) -> str:
    found = _QUOTED.fullmatch(word)
    return "".join(filter(None, found.groups())) if found else word


def track_parser(prog: str = "%%track") -> LineParser:
    """Return the parser of the options of a tracked run."""
    parser = LineParser(prog)
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("-e", "--experiment", metavar="EXPERIMENT")
    for flag, word in (("-p", "param"), ("-m", "metric"), ("-d", "dataset")):
        parser.add_argument(
            flag,
            f"--{word}",
            dest=f"{word}s",
            metavar="NAME[=EXPR]",
            nargs="+",
            action="extend",
            default=[],
        )
    parser.add_argument(
        "-t",
        "--tag",
        dest="tags",
        metavar="KEY=VALUE",
        nargs="+",
        action="extend",
        default=[],
    )
    parser.add_argument("--nested", action="store_true")
    parser.add_argument("--no-autolog", action="store_true")
    parser.add_argument("--trust", action="store_true")
    parser.add_argument(
        "--budget", metavar="90s|2GB", nargs="+", action="extend", default=[]
    )
    return parser


def parse_track(
    line: str, *, prog: str = "%%track", default_name: str = "cell"
) -> TrackOptions:
    """Return what the line of a tracked run asks for.

    >>> parse_track("baseline -p C depth=len(layers) -m auc").params
    (('C', 'C'), ('depth', 'len(layers)'))
    """
    from nbmlops.entities import check_key
    from nbmlops.tracking.resources.budget import parse_budget

    parser = track_parser(prog)
    found = parser.parse_line(line)
    tags = []
    for item in found.tags:
        key, equals, value = item.partition("=")
        if not (key and equals):
            parser.error(f"the tag {item!r} is not KEY=VALUE")
        check_key(key)
        tags.append((key, _unquoted(value)))
    return TrackOptions(
        name=found.name or default_name,
        experiment=found.experiment,
        params=named_expressions(parser, found.params),
        metrics=named_expressions(parser, found.metrics),
        datasets=named_expressions(parser, found.datasets),
        tags=tuple(tags),
        is_nested=found.nested,
        has_autolog=not found.no_autolog,
        budget=parse_budget(found.budget),
        is_trusting=found.trust,
    )


def named_expressions(
    parser: LineParser, items: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Return ``NAME[=EXPR]`` words as names and expressions that compile."""
    from nbmlops.entities import check_key

    pairs = []
    for item in items:
        name, equals, expression = item.partition("=")
        expression = expression if equals else name
        try:
            compile(expression.strip(), "<option>", "eval")
        except (SyntaxError, ValueError):
            parser.error(f"{item!r} is not NAME or NAME=EXPR with a Python expression")
        check_key(name.strip())
        pairs.append((name.strip(), expression.strip()))
    return tuple(pairs)
