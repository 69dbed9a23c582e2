"""The forms that the values of a pipeline file must have."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from nbmlops.errors import did_you_mean
from nbmlops.pipeline.spec.problems import Problem
from nbmlops.pipeline.spec.templates import has_template
from nbmlops.pipeline.spec.yaml_lines import Located

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_NUMBER = (int, float)


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

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems

    def fail(self, line: int, message: str) -> None:
        """Note what is wrong."""
        self._problems.append(Problem(line, message))

    def fail_form(self, located: Located, what: str, wanted: str) -> None:
        """Note that a value is not of the form it must have."""
        self.fail(located.line, f"{what} is {describe(located.value)}, not {wanted}.")

    def check_keys(
        self, given: Mapping[str, Located], known: Collection[str], what: str
    ) -> None:
        """Refuse keys that are not known."""
        for key, each in given.items():
            if key not in known:
                near = did_you_mean(key, known)
                self.fail(each.line, f"Unknown key {key!r} of {what}.{near}")

    def get(
        self,
        given: Mapping[str, Located],
        key: str,
        read: Callable[[Located, str], Any],
    ) -> Any:  # noqa: ANN401 - what `read` returns
        """Return the value of a key as ``read`` reads it; None when it is not there."""
        return read(given[key], f"`{key}`") if key in given else None

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
                self.fail(
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
                self.fail(located.line, f"{what} has a template; params alone can.")
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
