"""The forms that the values of a pipeline file must have."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from nbmlops.errors import did_you_mean
from nbmlops.pipeline.spec.problems import Fault
from nbmlops.pipeline.spec.templates import has_template
from nbmlops.pipeline.spec.yaml_lines import Located

_IDENTIFIER = re.compile(r"[^\W\d]\w*")


class Forms:
    """Reads values; what is not of its form is a fault, and None."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults

    def fault(self, line: int, problem: str) -> None:
        """Note what is wrong."""
        self._faults.append(Fault(line, problem))

    def known(
        self, given: Mapping[str, Located], known: Collection[str], what: str
    ) -> None:
        """Refuse keys that are not known."""
        for key, each in given.items():
            if key not in known:
                near = did_you_mean(key, known)
                self.fault(each.line, f"Unknown key {key!r} of {what}.{near}")

    def take(
        self,
        given: Mapping[str, Located],
        key: str,
        read: Callable[[Located, str], Any],
    ) -> Any:  # noqa: ANN401 - what `read` returns
        """Return the value of a key as ``read`` reads it; None when it is not there."""
        return read(given[key], f"`{key}`") if key in given else None

    def form(self, located: Located, what: str, wanted: str) -> None:
        """Note that a value is not of the form it must have."""
        self.fault(located.line, f"{what} is {said(located.value)}, not {wanted}.")

    def mapping(self, located: Located, what: str) -> dict[str, Located] | None:
        """Return a mapping, or None with a fault."""
        if isinstance(located.value, dict):
            return located.value
        self.form(located, what, "a mapping")
        return None

    def named(self, located: Located, what: str) -> dict[str, Located] | None:
        """Return a mapping of which the keys name parameters."""
        found = self.mapping(located, what)
        for name, each in (found or {}).items():
            if not _IDENTIFIER.fullmatch(name):
                self.fault(
                    each.line,
                    f"{name[:60]!r} is no name of a parameter: begin with a letter or "
                    "_, and go on with letters, digits and _.",
                )
        return found and {k: v for k, v in found.items() if _IDENTIFIER.fullmatch(k)}

    def list(self, located: Located, what: str) -> list[Located] | None:
        """Return a list, or None with a fault."""
        if isinstance(located.value, list):
            return located.value
        self.form(located, what, "a list")
        return None

    def text(self, located: Located, what: str) -> str | None:
        """Return a text that is not blank, or None with a fault."""
        text = located.value
        if isinstance(text, str) and text.strip() and "\0" not in text:
            if has_template(text):
                self.fault(located.line, f"{what} has a template; params alone can.")
            return text
        self.form(located, what, "a text")
        return None

    def run_name(self, located: Located, what: str) -> str | None:
        """Return what can name a run, or None with a fault."""
        name = self.text(located, what)
        if name is None or (len(name) <= 250 and name.isprintable()):
            return name
        self.form(located, what, "a name of at most 250 plain characters")
        return None

    def texts(self, located: Located, what: str) -> tuple[str, ...] | None:
        """Return one text or a list of them, or None with a fault."""
        if isinstance(located.value, str):
            return (located.value,)
        if isinstance(located.value, list) and all(
            isinstance(each.value, str) and each.value.strip() for each in located.value
        ):
            return tuple(each.value for each in located.value)
        self.form(located, what, "a list of texts")
        return None

    def number(self, located: Located, what: str) -> float | None:
        """Return a finite number, or None with a fault."""
        value = located.value
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
        self.form(located, what, "a number")
        return None

    def seconds(self, located: Located, what: str) -> float | None:
        """Return seconds above 0, or None with a fault."""
        value = located.value
        if type(value) in (int, float) and 0 < value < 1e9:
            return float(value)
        self.form(located, what, "seconds above 0")
        return None

    def share(self, located: Located, what: str) -> float | None:
        """Return a share in [0, 1], or None with a fault."""
        value = located.value
        if type(value) in (int, float) and 0 <= value <= 1:
            return float(value)
        self.form(located, what, "a share from 0 to 1")
        return None

    def count(self, located: Located, what: str) -> int | None:
        """Return a whole number from 0 to 100, or None with a fault."""
        if type(located.value) is int and 0 <= located.value <= 100:
            return located.value
        self.form(located, what, "a whole number from 0 to 100")
        return None

    def port(self, located: Located, what: str) -> int | None:
        """Return a TCP port, or None with a fault."""
        if type(located.value) is int and 1 <= located.value <= 65535:
            return located.value
        self.form(located, what, "a port from 1 to 65535")
        return None

    def flag(self, located: Located, what: str) -> bool | None:
        """Return true or false, or None with a fault."""
        if isinstance(located.value, bool):
            return located.value
        self.form(located, what, "true or false")
        return None


def said(value: object) -> str:
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
