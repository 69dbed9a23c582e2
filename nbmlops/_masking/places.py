"""Secrets that are known by where they stand: keys, addresses, headers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from nbmlops._masking.names import Strength, is_random, is_secret, stands_for
from nbmlops._masking.tokens import Span, find

# Base64 in the lines of a key, whatever the lines stand in: quotes, a list, a listing
# with numbers.
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BETWEEN = r"(?:\\[nrt]|&quot;|[\s\"',()|>:;\\]|\+(?=\s)|-{2,}>|\d{1,4}(?=[ \t]))*+"
_NOISE = re.compile(_BETWEEN)
_PEM_BODY = re.compile(
    rf"(?:{_BETWEEN}(?:Proc-Type|DEK-Info|Version|Comment|Hash): [^\n\\]{{0,200}})*+"
    rf"(?:{_BETWEEN}[A-Za-z0-9+/]{{8,}}+={{0,2}}+)++"
    rf"(?:{_BETWEEN}=?[A-Za-z0-9+/]{{1,7}}+={{0,2}}+(?={_BETWEEN}-----END))?+"
)
_PEM_CLOSE = re.compile(rf"{_BETWEEN}{_PEM_END.pattern}")
_PEM_LINE = re.compile(rf"{_BETWEEN}[A-Za-z0-9+/]{{2,}}+={{0,2}}+{_BETWEEN}")
_LOOK_BACK = 8000


def pem_spans(text: str) -> Iterator[Span]:
    """Yield where private keys stand, also those that a listing cut off.

    See rfc-editor.org/rfc/rfc7468.

    Parameters
    ----------
    text : str
        Any text.

    Yields
    ------
    tuple of int
        Start and end.
    """
    covered = -1
    for at in find(text, "-----BEGIN "):
        begin = _PEM_BEGIN.match(text, at)
        body = begin and _PEM_BODY.match(text, begin.end())
        if body:
            close = _PEM_CLOSE.match(text, body.end())
            covered = (close or body).end()
            yield at, covered
    for at in find(text, "-----END "):
        end = _PEM_END.match(text, at)
        if end and at > covered:
            first = at
            line_start = text.rfind("\n", 0, at) + 1
            if _NOISE.fullmatch(text, line_start, at):
                first = line_start
            lines = text[max(0, first - _LOOK_BACK) : first].splitlines(keepends=True)
            for line in reversed(lines):
                if line.strip() and not _PEM_LINE.fullmatch(line):
                    break
                first -= len(line)
            body = _PEM_BODY.match(text, first)
            if body and body.end() <= at:
                yield first, end.end()


_USER = r"[^\s/?#:@\"'<>`\\]{0,256}+"
_ADDRESS = re.compile(rf"({_USER})(?::([^\s/\"'<>`\\]{{1,512}}))?@")
_LOOSE_ADDRESS = re.compile(rf"({_USER}):([^\s\"'<>`\\]{{1,512}})@(?=[\w.\[-])")
_LONGEST_ADDRESS = 800
_PORT = re.compile(r"\d{1,5}(?=[/?#]|$)")


def address_spans(text: str) -> Iterator[Span]:
    """Yield where the addresses in a text hold a password or a token.

    See rfc-editor.org/rfc/rfc3986#section-3.2.1. A ``/`` or ``@`` in a password that
    was not quoted belongs to it.

    Parameters
    ----------
    text : str
        Any text.

    Yields
    ------
    tuple of int
        Start and end.
    """
    for at in find(text, "://"):
        if text.find("@", at, at + _LONGEST_ADDRESS) < 0:
            continue
        found = _ADDRESS.match(text, at + 3) or _LOOSE_ADDRESS.match(text, at + 3)
        if found is None:
            continue
        user, password = found[1], found[2]
        if password is None:
            if len(user) >= 16 and is_random(user):
                yield found.span(1)
            continue
        if _PORT.match(password) or (stands_for(password) and not password.isalnum()):
            continue
        if len(user) >= 20 and is_random(user):
            yield found.span(1)
        yield found.span(2)


_BEARER = re.compile(r"[ \t]{1,4}([A-Za-z0-9._~+/=-]{16,8192}+)")
_BASIC = re.compile(r"[ \t]{1,4}([A-Za-z0-9+/]{6,8192}+={0,2})")
_LOGIN = re.compile(r"[ =]?[\"']?[^\s:\"'$]{1,64}:([^\s\"'$]{3,256})")
_PAIR = re.compile(
    r"""\s{0,4}=?\s{0,4}\(\s{0,20}(?:["'][^"'\n]{0,99}["']|[\w.]{1,60}+)\s{0,20},"""
    r"""\s{0,20}(["'])([^"'\n]{3,256})\1"""
)
_CALLERS = ("curl", "wget", "http")


def header_spans(text: str, lowered: str) -> Iterator[Span]:
    """Yield where a text tells who asks: bearer and basic headers, curl, requests.

    See rfc-editor.org/rfc/rfc6750 and rfc7617.

    Parameters
    ----------
    text : str
        Any text.
    lowered : str
        The same in lower case, of the same length.

    Yields
    ------
    tuple of int
        Start and end.
    """
    for at in find(lowered, "bearer"):
        found = _BEARER.match(text, at + 6)
        if found and (is_random(found[1]) or is_secret(found[1], Strength.TOKEN)):
            yield found.span(1)
    for at in find(lowered, "basic"):
        found = _BASIC.match(text, at + 5)
        if found and _is_login(found[1]):
            yield found.span(1)
    for flag in (" -u", "--user"):
        for at in find(text, flag):
            found = _LOGIN.match(text, at + len(flag))
            line = text[max(0, at - 300) : at].rpartition("\n")[2]
            is_asking = any(caller in line for caller in _CALLERS)
            if found and is_asking and not found[1].isdigit():
                yield found.span(1)
    for at in find(lowered, "auth"):
        found = _PAIR.match(text, at + 4)
        if found and is_secret(found[2], Strength.PASSWORD):
            yield found.span(2)


def _is_login(code: str) -> bool:
    try:
        plain = base64.b64decode(code + "=" * (-len(code) % 4), validate=True)
        name, colon, password = plain.decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return False
    return bool(colon and name + password) and (name + password).isprintable()
