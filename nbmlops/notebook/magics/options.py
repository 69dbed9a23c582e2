"""Lines of magics, parsed; an error says what is wrong before anything runs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.magic import Magics, line_magic, no_var_expand

from nbmlops.errors import NbmlopsError, UsageError, in_words

if TYPE_CHECKING:
    from nbmlops.tracking.resources.budget import Budget

_NAMED = "NAME[=EXPR]"
Argument = tuple[tuple[str, ...], dict[str, Any]]


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
        """All that is evaluated when the code has run."""
        pairs = (*self.params, *self.metrics, *self.datasets)
        return tuple(expression for _, expression in pairs)


class LineParser(argparse.ArgumentParser):
    """An argument parser for one magic, whose errors are ours."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog=prog, add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Refuse the line."""
        raise UsageError(
            f"{self.prog}: {message}.", fix=f"Write it as: {self.usage_line()}"
        )

    def usage_line(self) -> str:
        """Return how to write it."""
        return " ".join(self.format_usage().removeprefix("usage: ").split())

    def parse_line(self, line: str) -> argparse.Namespace:
        """Return the arguments of a magic's line."""
        return self.parse_args(self.split(line))

    @contextmanager
    def naming_options(self) -> Iterator[None]:
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


def argument(*names: str, **settings: Any) -> Argument:
    """Return one argument of a magic, as ``argparse`` takes it."""
    return names, settings


def with_arguments(*arguments: Argument) -> Callable[[Callable[..., Any]], Any]:
    """Make a method a line magic that gets its arguments parsed, by their names."""

    def decorate(method: Callable[..., Any]) -> Any:  # noqa: ANN401 - IPython's
        parser = LineParser(f"%{method.__name__}")
        for names, settings in arguments:
            parser.add_argument(*names, **settings)

        @wraps(method)
        def magic(self: Magics, line: str) -> Any:  # noqa: ANN401
            options = vars(parser.parse_line(line))
            with parser.naming_options():
                return method(self, **options)

        magic.__doc__ = f"{method.__doc__}\n\n``{parser.usage_line()}``"
        return no_var_expand(line_magic(magic))

    return decorate


def track_parser(prog: str = "%%track") -> LineParser:
    """Return the parser of the options of a tracked run."""
    parser = LineParser(prog)
    many: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("-e", "--experiment", metavar="EXPERIMENT")
    parser.add_argument("-p", "--param", dest="params", metavar=_NAMED, **many)
    parser.add_argument("-m", "--metric", dest="metrics", metavar=_NAMED, **many)
    parser.add_argument("-d", "--dataset", dest="datasets", metavar=_NAMED, **many)
    parser.add_argument("-t", "--tag", dest="tags", metavar="KEY=VALUE", **many)
    parser.add_argument("--nested", action="store_true")
    parser.add_argument("--no-autolog", action="store_true")
    parser.add_argument("--trust", action="store_true")
    parser.add_argument("--budget", metavar="90s|2GB", **many)
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
