"""Secrets that are known by the name they are given to: ``name = literal``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nbmlops._masking.forms import Span, find
from nbmlops._masking.names import (
    Strength,
    is_placeholder,
    is_random,
    is_secret,
    strength_of,
)

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
# What a command sets: ``--name value``, ``%env NAME value``, ``export NAME=value``.
_SETTER = re.compile(
    r"(?P<is_first>^|[\n;&|!$(\"'`])?[ \t]*(?<!\w)"
    r"(?:export|set|setenv|env|declare|%env|%set_env|ENV|ARG)[ \t]+(?:-\w+[ \t]+)?$"
)
_PAIR_BEFORE = re.compile(r"(?:[?&;]|\w=[^\s,;()]+[ \t])$")
_PAIR_AFTER = re.compile(r"\s*;|\s+[A-Za-z_]+=[^=]")
_EXPRESSION = re.compile(
    r"[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)*+(?:\.?$|[\[(].*)", re.DOTALL
)
_DIGIT_OR_SIGN = re.compile(r"[^A-Za-z_.]")


def named_value_spans(text: str, lowered: str) -> Iterator[Span]:
    """Yield where a text gives a literal to the name of a secret.

    ``lowered`` is the text in lower case, of the same length. The literal's quotes are
    not part of the span.
    """
    for hint in _HINTS:
        done = 0
        for at in find(lowered, hint):
            if at >= done:
                start, done = _name_around(text, at)
                strength = strength_of(text[start:done])
                if strength:
                    span = _value_after(text, start, done, strength)
                    if span is not None:
                        done = span[1]
                        yield span


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


def _value_after(text: str, start: int, end: int, strength: Strength) -> Span | None:
    found = _SIGN.match(text, end)
    if found is None:
        return None
    sign = found["sign"] or ("=" if found["blank"] is None else " ")
    if sign == ">" and text[start - 1 : start] != "<":
        return None
    is_option = text.startswith("--", start)
    before = text[max(0, start - _LONGEST_NAME) : start].replace("\\n", "\n")
    setter = _SETTER.search(before)
    is_set = is_option or setter is not None
    if sign == " " and not is_set:
        return None  # prose
    opening = _OPENING.match(text, found.end())
    if opening is not None:
        if sign == ",":  # the name is a key: getenv("TOKEN", "...")
            return _quoted(text, opening, Strength.TOKEN) if found["key_end"] else None
        return _quoted(text, opening, strength)
    if sign == "," or (len(sign) > 1 and sign[0] in "=!"):
        return None
    if sign == ":" and found.end() == end + 1 and text[start:end] == "secret":
        return None  # secret:NAME is what we write ourselves
    at = found.end()
    is_tight = sign == "=" and at == end + 1
    is_first = before[-1:] in ("", "\n", "\r")
    is_variable = is_tight and (is_set or (text[start:end].isupper() and is_first))
    value = (_BARE_IN_SHELL if is_variable else _BARE).match(text, at)
    if value is None or (sign == " " and value[0].startswith("-")):
        return None
    shown = value[0].rstrip(".:") or value[0]
    stop = at + len(shown)
    if sign == ">" and not text.startswith("</", stop):
        return None
    if text[stop : stop + 1] in ("(", "[", "{") or is_placeholder(shown):
        return None
    if is_random(shown):
        return at, stop
    is_pair = is_tight and bool(
        _PAIR_AFTER.match(text, stop) or _PAIR_BEFORE.search(before)
    )
    # Where no command begins, a blank is still prose.
    is_command = is_option or bool(setter and setter["is_first"] is not None)
    is_sure = is_variable or is_pair or sign == ">" or (sign == " " and is_command)
    if _EXPRESSION.fullmatch(shown) and ("(" in shown or not is_sure):
        return None
    if not is_sure:
        # A word alone is a variable, or prose; a number is a length or a count.
        is_key = found["key_end"] is not None
        is_literal = is_key if shown.isdigit() else bool(_DIGIT_OR_SIGN.search(shown))
        is_password = strength is Strength.PASSWORD and len(shown) >= 6
        if sign == " " or not (is_literal and is_password):
            return None
    return (at, stop) if is_secret(shown, strength) else None


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
    if value.lstrip()[:1] in (",", ")", "+"):  # it is the quote that closes a text
        return None
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
