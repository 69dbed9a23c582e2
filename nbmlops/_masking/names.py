"""Which names are those of secrets, and which values can be one."""

from __future__ import annotations

import math
import re
from collections import Counter
from enum import IntEnum
from functools import lru_cache

MASK = "[masked]"


class Strength(IntEnum):
    """How much a name says about its value."""

    NONE = 0
    TOKEN = 1  # such values look random
    PASSWORD = 2  # such values may be any word


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Names as words in small letters with _ between.
_SUFFIX = re.compile(
    r"""_(?:\d+|b64|base64|default|dev|env|live|new|old|plain|prod|production|raw|staging
    |str|string|test|text|txt|val|value)$""",
    re.VERBOSE,
)
_PASSWORD = re.compile(
    r"""(?:password|passwd|passphrase|passcode|passwort|pwd)$
    |_(?:account|admin|auth|basic|client|db|email|ftp|http|imap|key|login|mail|mongo|mqtt
    |mysql|pg|pop|postgres|proxy|rabbitmq|redis|root|smtp|sql|ssh|user)_pass$""",
    re.VERBOSE,
)
_TOKEN = re.compile(
    r"""_(?:authorization|credentials?|pat|sig|token)$
    |(?:secret|(?:access|api|auth|bearer|refresh)token
    |(?:access|account|api|auth|private|secret|signing)key)$
    |_(?:amz|goog)_(?:signature|credential)$
    |_(?:access|account|admin|anthropic|api|app|application|auth|client|consumer|crypt
    |deploy|encrypt|encryption|host|license|master|openai|private|rest|secret|service
    |session|shared|signing|ssh|storage|subscription|webhook)_key$""",
    re.VERBOSE,
)
_OTHER_TOKEN = re.compile(
    r"""_(?:bos|cls|content|continuation|current|cancel|cancellation|end|eos|forced|image
    |last|marker|mask|new|next|no|num|oov|pad|page|padding|prev|previous|prompt|resume
    |separator|sep|special|start|stop|sync|text|unk|unknown|word)_token$""",
    re.VERBOSE,
)


@lru_cache(maxsize=8192)
def strength_of(name: str) -> Strength:
    """Return what a name says about its value.

    >>> strength_of("DB_PASSWORD").name, strength_of("accessToken").name
    ('PASSWORD', 'TOKEN')
    >>> strength_of("max_tokens").name, strength_of("pad_token").name
    ('NONE', 'NONE')
    """
    words = "".join(f"_{word.lower()}" for word in _WORD.findall(name))
    while (shorter := _SUFFIX.sub("", words)) != words:
        words = shorter
    if _PASSWORD.search(words):
        return Strength.PASSWORD
    if _TOKEN.search(words) and not _OTHER_TOKEN.search(words):
        return Strength.TOKEN
    return Strength.NONE


_PLACEHOLDER = re.compile(
    r"""
      \W* | none | null | nil | true | false | undefined | empty | unset | string | str
    | text | bytes | object | any | int | bool | required | optional | hidden | plain
    | basic | default | enabled | disabled | prompt | stdin | env | function | import
    | \$\{?[\w.:-]+\}? | \$\(.* | \$\{\{.* | %\w+% | %\(\w+\)s | %[sr] | \{.*\}
    | <[^<>]*> | \[[^\[\]]*\] | @\w+@ | secret:[A-Za-z_][\w.-]*
    | ([\w*.#])\1*
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_PLACEHOLDER_WORD = re.compile(
    r"(?<![a-z0-9])(?:your|change[-_ ]?me|placeholder|redacted|masked|example|dummy"
    r"|insert|x{3,})(?![a-z0-9])",
    re.IGNORECASE,
)
_COMMON_WORD = re.compile(
    r"(?<![a-z0-9])(?:my|the|foo|bar|baz|some|fake|sample|test|testing|here|mock|invalid"
    r"|this|not|with|for|and|from|is|of|to)(?![a-z0-9])",
    re.IGNORECASE,
)
_FILE = re.compile(r"[\w.-]*(?:/[\w=.-]*)+|[\w-]+(?:\.[a-z]\w{1,8}){1,2}")
"""A key in a store of objects, which is a path."""
_SAMPLE = 128
_ENTROPY = 2.7
_SPACE = re.compile(r"\s")
_DIGITS = re.compile(r"[0-9]")
_LETTERS = re.compile(r"[A-Za-z]")
_STEPS = re.compile(r"[A-Za-z](?=[0-9])|[0-9](?=[A-Za-z])")
_FLIPS = re.compile(r"[a-z](?=[A-Z])|[A-Z](?=[a-z])")
_MIXED = re.compile(r"[A-Za-z]\d|\d[A-Za-z]|[A-Za-z0-9][!@#$%^&*+?=~][A-Za-z0-9]")


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[_-][A-Za-z0-9]+)*[_-][A-Za-z]+")


def is_placeholder(value: str) -> bool:
    """Return whether a value only keeps the place of one, as ``password`` does."""
    if _PLACEHOLDER.fullmatch(value) or MASK in value:
        return True
    is_name = not any(letter.isdigit() for letter in value) or _NAME.fullmatch(value)
    return bool(is_name) and strength_of(value) is not Strength.NONE


def is_random(value: str) -> bool:
    """Return whether a text looks drawn at random, as keys are and words are not.

    >>> is_random("x7Kp2mQ9vLwR4tZ8"), is_random("TfidfVectorizer2")
    (True, False)
    """
    value = value[:_SAMPLE]
    n = len(value)
    if n < 8 or not value.isascii() or _SPACE.search(value):
        return False
    n_flips = len(_FLIPS.findall(value))
    n_digits = len(_DIGITS.findall(value))
    if n_digits == 0:
        return n >= 16 and n_flips >= n / 3 and _entropy(value) >= _ENTROPY
    n_letters, n_steps = len(_LETTERS.findall(value)), len(_STEPS.findall(value))
    if n_digits + n_letters < 0.7 * n:
        return False
    is_mixed = n_steps >= 3 or (n >= 16 and n_steps >= 1 and n_steps + n_flips >= 5)
    return is_mixed and _entropy(value) >= _ENTROPY


def _entropy(value: str) -> float:
    """Return the Shannon entropy of a text's letters, in bits a letter."""
    n = len(value)
    return -sum(k / n * math.log2(k / n) for k in Counter(value).values())


def is_secret(value: str, strength: Strength) -> bool:
    """Return whether a literal is a secret, given what its name says.

    >>> is_secret("hunter2", Strength.PASSWORD), is_secret("hunter2", Strength.TOKEN)
    (True, False)
    """
    if strength is Strength.NONE or len(value) < 4 or is_placeholder(value):
        return False
    if "://" in value:  # whose own parts are looked at
        return False
    if strength is Strength.TOKEN and _FILE.fullmatch(value):
        return False
    if is_random(value):
        return True
    if _PLACEHOLDER_WORD.search(value) or value.startswith(("/", "./", "../", "~/")):
        return False
    if strength is Strength.PASSWORD:
        return not any(c.isspace() for c in value) or any(
            _MIXED.search(word) for word in value.split()
        )
    has_both = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return (
        len(value) >= 8
        and has_both
        and len(set(value)) >= 6
        and not any(c.isspace() or c in "(){}<>" for c in value)
        and not _COMMON_WORD.search(value)
    )
