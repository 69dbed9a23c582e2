"""The forms that the values of a pipeline file must have."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_args

from nbmlops.entities.pipeline import RetryKind
from nbmlops.errors import did_you_mean
from nbmlops.pipeline.spec.templates import has_template
from nbmlops.pipeline.spec.yaml_lines import Located

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_NUMBER = (int, float)
_CRON: Mapping[str, tuple[int, int, str]] = {
    "minute": (0, 59, ""),
    "hour": (0, 23, ""),
    "day of the month": (1, 31, ""),
    "month": (1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    "day of the week": (0, 7, "sun mon tue wed thu fri sat"),
}
_CRON_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def describe(value: object) -> str:
    """Return a value in words, short."""
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case list():
            return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _reader(fits: Callable[[Any], bool], wanted: str) -> Any:  # noqa: ANN401 - a method
    def read(self: ValueReader, located: Located, what: str) -> Any:  # noqa: ANN401
        if fits(located.value):
            return located.value
        return self.fail_form(located, what, wanted)

    return read


class ValueReader:
    """Reads values; what is not of its form is a problem, and None."""

    def __init__(self, fail: Callable[[int, str], None]) -> None:
        self._fail = fail

    def fail_form(self, located: Located, what: str, wanted: str) -> None:
        """Note that a value is not of the form it must have."""
        self._fail(located.line, f"{what} is {describe(located.value)}, not {wanted}.")

    def check_keys(
        self, given: Mapping[str, Located], known: Collection[str], what: str
    ) -> None:
        """Refuse keys that are not known."""
        for key, each in given.items():
            if key not in known:
                near = did_you_mean(key, known)
                self._fail(each.line, f"Unknown key {key!r} of {what}.{near}")

    def get(self, given: Mapping[str, Located], key: str, form: str) -> Any:  # noqa: ANN401
        """Return the value of a key, read by its form; None when it is not there."""
        return getattr(self, form)(given[key], f"`{key}`") if key in given else None

    mapping = _reader(lambda value: isinstance(value, dict), "a mapping")
    list = _reader(lambda value: isinstance(value, list), "a list")
    flag = _reader(lambda value: isinstance(value, bool), "true or false")
    number = _reader(lambda v: type(v) in _NUMBER and math.isfinite(v), "a number")
    seconds = _reader(lambda v: type(v) in _NUMBER and 0 < v < 1e9, "seconds above 0")
    share = _reader(lambda v: type(v) in _NUMBER and 0 <= v <= 1, "a share from 0 to 1")
    count = _reader(
        lambda v: type(v) is int and 0 <= v <= 100, "a whole number from 0 to 100"
    )
    port = _reader(
        lambda v: type(v) is int and 1 <= v <= 65535, "a port from 1 to 65535"
    )

    def parameters(self, located: Located, what: str) -> dict[str, Located]:
        """Return a mapping of which the keys name parameters."""
        found = self.mapping(located, what) or {}
        for name, each in found.items():
            if not _IDENTIFIER.fullmatch(name):
                self._fail(
                    each.line,
                    f"{name[:60]!r} is no name of a parameter: begin with a letter or "
                    "_, and go on with letters, digits and _.",
                )
        return {k: v for k, v in found.items() if _IDENTIFIER.fullmatch(k)}

    def text(self, located: Located, what: str) -> str | None:
        """Return a text that is not blank, or None with a problem."""
        text = located.value
        if isinstance(text, str) and text.strip() and "\0" not in text:
            if has_template(text):
                self._fail(located.line, f"{what} has a template; params alone can.")
            return text
        self.fail_form(located, what, "a text")
        return None

    def run_name(self, located: Located, what: str) -> str | None:
        """Return what can name a run, or None with a problem."""
        name = self.text(located, what)
        if name is None or (len(name) <= 250 and name.isprintable()):
            return name
        wanted = "a name of at most 250 plain characters"
        self.fail_form(located, what, wanted)
        return None

    def texts(self, located: Located, what: str) -> tuple[str, ...] | None:
        """Return one text or a list of them, or None with a problem."""
        items = located.value
        if isinstance(items, str):
            return (items,)
        if not isinstance(items, list) or not all(
            isinstance(each.value, str) and each.value.strip() for each in items
        ):
            self.fail_form(located, what, "a list of texts")
            return None
        return tuple(each.value for each in items)

    def retry_kinds(self, located: Located, what: str) -> tuple[str, ...] | None:
        """Return after which ends a step is begun again, or None with a problem."""
        known = get_args(RetryKind)
        found = self.texts(located, what)
        for each in found or ():
            if each not in known:
                self._fail(
                    located.line,
                    f"No end of a step is called {each!r}: retry_on has "
                    f"{', '.join(known)}.{did_you_mean(each, known)}",
                )
        return found

    def cron(self, located: Located, what: str) -> str | None:
        """Return a schedule as cron writes it, or None with a problem."""
        text = self.text(located, what)
        if text is not None and (problem := _cron_problem(text)):
            self._fail(located.line, f"Bad cron: {problem}")
        return text


def _cron_problem(text: str) -> str | None:
    """Return what is wrong with a cron expression, or None.

    >>> _cron_problem("0 3 * * mon-fri") is None
    True
    >>> _cron_problem("61 3 * * *")
    "The minute '61' is not from 0 to 59."
    """
    fields = text.split()
    if len(fields) != len(_CRON):
        return (
            f"{text!r} has {len(fields)} fields, not the five of cron: "
            f"{', '.join(_CRON)}."
        )
    for field, (name, (low, high, words)) in zip(fields, _CRON.items(), strict=True):
        names = {word: low + n for n, word in enumerate(words.split())}
        for part in field.split(","):
            match = _CRON_PART.fullmatch(part)
            ends = [end.lower() for end in match.groups()[:2] if end] if match else []
            found = [int(n) if n.isdecimal() else names.get(n, -1) for n in ends]
            if match is None or not all(low <= n <= high for n in found):
                return f"The {name} {part!r} is not from {low} to {high}."
            if match[3] is not None and int(match[3]) == 0:
                return f"The {name} {part!r} has a step of 0."
            if len(found) == 2 and found[0] > found[1]:
                return f"The {name} {part!r} ends before it begins."
    return None
