"""Secrets that are known by the name they are given to."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nbmlops._masking.names import (
    Strength,
    is_random,
    is_secret,
    stands_for,
    strength_of,
)
from nbmlops._masking.tokens import Span

# Every name that `strength_of` knows holds one of these, in lower case.
_HINTS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "credential",
    "sig",
    "pat",
    "authoriz",
)
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_LONGEST_NAME = 80
_CONTEXT = 120
_LONG = 16

_QUOTE = r"""\\?["'`]|&quot;|&\#39;|&\#x27;"""
_SIGN = re.compile(
    rf"""
    (?P<key_end>{_QUOTE})?+ (?P<bracket>\])?+
    (?:
      [ \t]*+ :[ \t]*+ [A-Za-z_][\w.]{{0,40}}+ (?:\[[^\]\n]{{0,60}}+\])?+
      (?:[ \t]*+\|[ \t]*+None)?+ [ \t]*+ =(?!=)           # an annotated name
    | [ \t]*+ (?P<sign> :=|=>|[=!]==?|:(?!:)|=|,|>)
    | (?=[ \t]) (?P<blank>)
    )
    [ \t]*+ (?:\(\s{{0,40}}+)?+
    """,
    re.VERBOSE,
)
_OPENING = re.compile(
    rf"""(?P<prefix>[rRbBuUfF]{{0,2}})(?P<quote>\\?\"{{3}}|'{{3}}|{_QUOTE})"""
)
_BARE = re.compile(r"""[^\s"'`<>,;&()\[\]{}|\\]{1,1024}+""")
_BARE_IN_SHELL = re.compile(r"""[^\s"'`\\]{1,1024}+""")
_SETTERS = frozenset(
    (
        "export",
        "set",
        "setenv",
        "setx",
        "env",
        "declare",
        "%env",
        "%set_env",
        "ENV",
        "ARG",
    )
)
_PROMPTS = frozenset(["RUN", "!", "$", "&&", ";", "sudo", "||"])
_QUOTES = str.maketrans("'\"`(<>", "      ")
_PAIR = re.compile(r"\w+=[^,;()]+;?|.*;")
_PAIRS_AFTER = re.compile(r"\s*;|\s+[A-Za-z_]+=[^=]")
_EXPRESSION = re.compile(
    r"[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)*+(?:\.?$|[\[(].*)", re.DOTALL
)
_DIGIT_OR_SIGN = re.compile(r"[^A-Za-z_.]")


def assigned_spans(text: str, lowered: str) -> Iterator[Span]:
    """Yield where a text gives a value to the name of a secret.

    In Python, JSON, YAML, TOML, XML, shells, ``.env`` files, command lines, connection
    strings and the query of an address.

    Parameters
    ----------
    text : str
        Any text.
    lowered : str
        The same in lower case, of the same length.

    Yields
    ------
    tuple of int
        Start and end of the value, without its quotes.
    """
    for hint in _HINTS:
        done = 0
        at = lowered.find(hint)
        while at >= 0:
            if at >= done:
                start, done = _name_around(text, at)
                strength = strength_of(text[start:done])
                if strength:
                    span = _value_after(text, _Place(text, start, done), strength)
                    if span is not None:
                        done = span[1]
                        yield span
            at = lowered.find(hint, at + len(hint))


def _name_around(text: str, at: int) -> Span:
    start, end, n = at, at, len(text)
    lowest, highest = max(0, at - _LONGEST_NAME), min(n, at + _LONGEST_NAME)
    while start > lowest and text[start - 1] in _WORD:
        start -= 1
    if start < at and text[start] in "nrt" and text[start - 1 : start] == "\\":
        start += 1  # the end of a line, inside of a text
    while end < highest and text[end] in _WORD:
        end += 1
    return start, end


class _Place:
    """Where a name stands, which tells what may follow it."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.name = text[start:end]
        self._before = text[max(0, start - _CONTEXT) : start].replace("\\n", "\n")

    @property
    def is_tag(self) -> bool:
        return self._before.endswith("<")

    @property
    def is_first(self) -> bool:
        return not self._before or self._before.endswith(("\n", "\r"))

    @property
    def is_set(self) -> bool:
        """Whether a command sets it: ``--name``, ``export NAME``, ``%env NAME``."""
        return self.name.startswith("--") or self._setter() >= 0

    @property
    def is_set_first(self) -> bool:
        """Whether that command begins here, as it does not in prose."""
        at = self._setter()
        return (
            self.name.startswith("--")
            or at == 0
            or (at > 0 and self._words()[at - 1] in _PROMPTS)
        )

    def _setter(self) -> int:
        words = self._words()
        while words and words[-1].startswith("-"):
            words.pop()
        return len(words) - 1 if words and words[-1] in _SETTERS else -1

    @property
    def is_login(self) -> bool:
        """Whether it stands behind a name as in ``.netrc``."""
        words = self._words()
        return len(words) > 1 and words[-2] in ("login", "user")

    @property
    def is_among_pairs(self) -> bool:
        """Whether it stands behind another pair, as in a connection string."""
        words = self._words()
        return bool(words) and _PAIR.fullmatch(words[-1]) is not None

    def _words(self) -> list[str]:
        return self._before[self._before.rfind("\n") + 1 :].translate(_QUOTES).split()


def _value_after(text: str, place: _Place, strength: Strength) -> Span | None:
    found = _SIGN.match(text, place.end)
    if found is None:
        return None
    sign = found["sign"] or ("=" if found["blank"] is None else " ")
    opening = _OPENING.match(text, found.end())
    if sign == ">" and not place.is_tag:
        return None
    if opening is not None:
        is_sql = strength is Strength.PASSWORD and opening["quote"] == "'"
        if sign == " " and not (is_sql or place.is_set_first):
            return None
        if sign == ",":  # the name is a key: getenv("TOKEN", "...")
            return _quoted(text, opening, Strength.TOKEN) if found["key_end"] else None
        return _quoted(text, opening, strength)
    if sign == "," or (len(sign) > 1 and sign[0] in "=!"):
        return None
    if sign == ":" and found.end() == place.end + 1 and place.name == "secret":
        return None  # secret:NAME is what we write ourselves
    return _bare(text, found, place, strength, sign)


def _quoted(text: str, opening: re.Match[str], strength: Strength) -> Span | None:
    quote, start = opening["quote"], opening.end()
    end = text.find(quote, start)
    if len(quote) == 1:
        while end > start and _is_escaped(text, end):
            end = text.find(quote, end + 1)
        line_end = text.find("\n", start)
        if line_end >= 0 and (end < 0 or end > line_end):
            end = line_end
    end = len(text) if end < 0 else end
    value = text[start:end]
    if "f" in opening["prefix"].lower() and "{" in value:
        return None
    scheme, _, rest = value.rpartition(" ")
    if rest and scheme.isalpha() and is_secret(rest, Strength.TOKEN):
        start += len(scheme) + 1  # "Token 0123abcd"
        value = rest
    return (start, end) if is_secret(value.strip(), strength) else None


def _is_escaped(text: str, at: int) -> bool:
    n = 0
    while text[at - 1 - n] == "\\":
        n += 1
    return n % 2 == 1


def _bare(
    text: str, found: re.Match[str], place: _Place, strength: Strength, sign: str
) -> Span | None:
    at = found.end()
    is_tight = sign == "=" and at == place.end + 1
    is_variable = is_tight and (
        place.is_set or (place.name.isupper() and place.is_first)
    )
    value = (_BARE_IN_SHELL if is_variable else _BARE).match(text, at)
    if value is None:
        return None
    shown = value[0].rstrip(".:") or value[0]
    stop = at + len(shown)
    if sign == ">" and not text.startswith("</", stop):
        return None
    if text[stop : stop + 1] in ("(", "[", "{") or stands_for(shown):
        return None
    if is_random(shown) and (sign != " " or len(shown) >= _LONG):
        return (at, stop)
    if sign == " ":
        is_sure = place.is_set_first or place.is_login
    else:
        is_sure = (
            is_variable
            or sign == ">"
            or (is_tight and _PAIRS_AFTER.match(text, stop) is not None)
            or place.is_among_pairs
        )
    if _EXPRESSION.fullmatch(shown) and ("(" in shown or not is_sure):
        return None
    if not is_sure:
        if sign == " ":
            return None
        # A word alone is a variable, or prose; a number is a length or a count.
        is_plausible = (
            strength is Strength.PASSWORD
            and len(shown) >= 6
            and (
                found["key_end"] is not None
                if shown.isdigit()
                else _DIGIT_OR_SIGN.search(shown) is not None
            )
        )
        if not is_plausible:
            return None
    return (at, stop) if is_secret(shown, strength) else None
