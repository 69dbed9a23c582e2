"""Secrets known by their context: private keys, URLs, headers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from nbmlops._masking.names import Strength, is_random, is_secret, stands_for
from nbmlops._masking.tokens import Span, find

# Base64 in the lines of a key, whatever the lines stand in: quotes, a list, a listing.
_BETWEEN = r"(?:\\[nrt]|&quot;|[\s\"',()|>:;\\]|\+(?=\s)|-{2,}>|\d{1,4}(?=[ \t]))*+"
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rf"(?:{_BETWEEN}(?:Proc-Type|DEK-Info|Version|Comment|Hash): [^\n\\]{{0,200}})*+"
    rf"(?:{_BETWEEN}[A-Za-z0-9+/]{{8,}}+={{0,2}}+)++"
    rf"(?:{_BETWEEN}=?[A-Za-z0-9+/]{{1,7}}+={{0,2}}+(?={_BETWEEN}-----END))?+"
    rf"(?:{_BETWEEN}-----END [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----)?+"
)


def pem_spans(text: str) -> Iterator[Span]:
    """Yield the private keys, as rfc-editor.org/rfc/rfc7468 writes them."""
    for at in find(text, "-----BEGIN "):
        if found := _PEM.match(text, at):
            yield found.span()


_USER = r"[^\s/?#:@\"'<>`\\]{0,256}+"
_ADDRESS = re.compile(rf"({_USER})(?::([^\s/\"'<>`\\]{{1,512}}))?@")
_LOOSE_ADDRESS = re.compile(rf"({_USER}):([^\s\"'<>`\\]{{1,512}})@(?=[\w.\[-])")
_LONGEST_ADDRESS = 800
_PORT = re.compile(r"\d{1,5}(?=[/?#]|$)")
_PLACES = ("password", "passwd", "pass", "pwd", "token", "port")
"""Placeholders in ``user:password@host:port``."""
_TOKEN_SCHEMES = ("http", "https")  # where a token may stand for the user


def address_spans(text: str) -> Iterator[Span]:
    """Yield where the addresses in a text hold a password or a token.

    See rfc-editor.org/rfc/rfc3986#section-3.2.1. A ``/`` or ``@`` in a password that
    was not quoted belongs to it.
    """
    for at in find(text, "://"):
        if text.find("@", at, at + _LONGEST_ADDRESS) < 0:
            continue
        found = _ADDRESS.match(text, at + 3) or _LOOSE_ADDRESS.match(text, at + 3)
        if found is None:
            continue
        user, password = found[1], found[2]
        if password is None:
            is_web = text[max(0, at - 5) : at].lower().endswith(_TOKEN_SCHEMES)
            if is_web and len(user) >= 16 and is_random(user):
                yield found.span(1)
            continue
        if _PORT.match(password) or password.lower() in _PLACES:
            continue
        if stands_for(password) and not password.isalnum():
            continue
        if len(user) >= 20 and is_random(user):
            yield found.span(1)
        yield found.span(2)


_BEARER = re.compile(r"[ \t]{1,4}([A-Za-z0-9._~+/=-]{16,8192}+)")
_BASIC = re.compile(r"[ \t]{1,4}([A-Za-z0-9+/]{6,8192}+={0,2})")


def header_spans(text: str, lowered: str) -> Iterator[Span]:
    """Yield where a text has bearer and basic headers: rfc6750 and rfc7617.

    ``lowered`` is the text in lower case, of the same length.
    """
    for at in find(lowered, "bearer"):
        found = _BEARER.match(text, at + 6)
        if found and (is_random(found[1]) or is_secret(found[1], Strength.TOKEN)):
            yield found.span(1)
    for at in find(lowered, "basic"):
        found = _BASIC.match(text, at + 5)
        if found and _is_login(found[1]):
            yield found.span(1)


def _is_login(code: str) -> bool:
    try:
        plain = base64.b64decode(code + "=" * (-len(code) % 4), validate=True)
        name, colon, password = plain.decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return False
    return bool(colon and name + password) and (name + password).isprintable()
