"""Secrets taken out of text that is about to be written.

Declared secrets in all encodings, tokens of known form, URLs and headers, and literals
given to names that mean a secret. Masks text; writing it is done elsewhere.
"""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nbmlops._masking.forms import Span, find
from nbmlops._masking.names import MASK, Strength, is_secret, strength_of
from nbmlops._masking.spans import spans_of
from nbmlops.secrets import Secret, known_codes, known_forms

__all__ = [
    "MASK",
    "mask",
    "mask_notebook",
    "mask_tree",
    "mask_value",
    "secrets_in",
    "secrets_of",
]

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_BINARY = re.compile(r"image/(?!svg)|audio/|video/|font/|application/(?:pdf|octet)")
_SHORTEST_ELSEWHERE = 8
_BASE64 = frozenset(f"{string.ascii_letters}{string.digits}+/-_")
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]+")
_PLAIN_BASE64 = str.maketrans("-_", "+/")


def mask(text: str, known: Iterable[str] = ()) -> str:
    """Return a text in which every secret that can be recognized is ``[masked]``.

    These are the values that `nbmlops.secret` gave to this process, keys and tokens of
    known form, private keys, passwords in addresses and headers, and what is given
    to a name such as ``password`` or ``api_key``.

    >>> mask("db = 'postgresql://ada:l0velace@host/db'; max_tokens = 512")
    "db = 'postgresql://ada:[masked]@host/db'; max_tokens = 512"
    >>> mask("password = 'l0velace'; token = tokenizer('a b')")
    "password = '[masked]'; token = tokenizer('a b')"
    """
    return _masked(text, (*known_forms(), *known))


def _masked(text: str, known: Sequence[str]) -> str:
    before = None
    while text != before:  # what is next to a masked part may now read otherwise
        before = text
        plain = _ANSI.sub("", text) if "\x1b[" in text else text
        spans = sorted([*spans_of(plain), *_known_spans(plain, known), *_coded(plain)])
        pieces: list[str] = []
        at = 0
        for start, end in spans:
            if start > at or not pieces:
                pieces += [plain[at:start], MASK]
            at = max(at, end)
        text = "".join([*pieces, plain[at:]]) if spans else text
    return text


def _known_spans(text: str, known: Sequence[str]) -> Iterator[Span]:
    for form in known:
        yield from ((at, at + len(form)) for at in find(text, form))


def _coded(text: str) -> Iterator[Span]:
    """Yield the runs of base64 in a text that hold a known secret, as a login does."""
    for hint, raw in known_codes():
        for at in find(text, hint):
            start = at
            while start > 0 and text[start - 1] in _BASE64:
                start -= 1
            found = _BASE64_RUN.match(text, start)
            code = (found[0] if found else "").translate(_PLAIN_BASE64)
            whole = code[:-1] if len(code) % 4 == 1 else code  # no base64 is so long
            if raw in base64.b64decode(whole + "=" * (-len(whole) % 4)):
                yield start, start + len(code)


def mask_value(value: object, name: str = "") -> str:
    """Return the text to record for a param's or a tag's value.

    >>> mask_value("hunter2", "password"), mask_value(0.5, "alpha")
    ('[masked]', '0.5')
    """
    if isinstance(value, Secret):
        return value.reference
    return _masked_value(str(value), name, known_forms())


def _masked_value(text: str, name: str, known: Sequence[str]) -> str:
    strength = strength_of(name) if name else Strength.NONE
    return MASK if is_secret(text, strength) else _masked(text, known)


def mask_tree(value: object, known: Iterable[str] = ()) -> Any:  # noqa: ANN401 - of the same form
    """Return a structure of mappings, lists and scalars with its texts masked.

    >>> mask_tree({"user": "ada", "password": "l0velace", "C": [1, 2]})
    {'user': 'ada', 'password': '[masked]', 'C': [1, 2]}
    """
    known = (*known_forms(), *known)

    def masked(value: Any, name: str) -> Any:  # noqa: ANN401
        match value:
            case Secret():
                return value.reference
            case str():
                return _masked_value(value, name, known)
            case Mapping():
                return {
                    _masked(key, known) if isinstance(key, str) else key: item
                    if isinstance(item, str) and _BINARY.match(str(key))
                    else masked(item, str(key))
                    for key, item in value.items()
                }
            case tuple() | list():
                items = [masked(item, name) for item in value]
                return tuple(items) if isinstance(value, tuple) else items
        return value

    return masked(value, "")


def mask_notebook(
    notebook: Mapping[str, Any], known: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return a notebook with its secrets masked: sources, outputs and metadata.

    A secret recognized in one place is masked in the whole notebook. Successive outputs
    of one stream are joined, so that none is cut in two.
    """
    found = secrets_of(notebook) if known is None else known
    cells = [_joined(cell) for cell in notebook["cells"]]
    masked: dict[str, Any] = mask_tree({**notebook, "cells": cells}, found)
    return masked


def secrets_of(notebook: Mapping[str, Any]) -> frozenset[str]:
    """Return the secrets in a notebook's cells, as `secrets_in` does for a text."""
    return frozenset(
        value
        for cell in notebook["cells"]
        for text in _texts(_joined(cell))
        for value in secrets_in(text)
    )


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401
    match value:
        case str():
            yield _ANSI.sub("", value) if "\x1b[" in value else value
        case Mapping():
            for key, item in value.items():
                if not _BINARY.match(str(key)):
                    yield from _texts(item)
        case list() | tuple():
            for item in value:
                yield from _texts(item)


def secrets_in(text: str) -> frozenset[str]:
    """Return the secrets in a text that are recognizable anywhere."""
    return frozenset(
        value
        for start, end in spans_of(text)
        for value in _recognizable(text[start:end])
    )


def _joined(cell: Mapping[str, Any]) -> dict[str, Any]:
    made = {**cell, "source": _whole(cell["source"])}
    if "outputs" not in cell:
        return made
    outputs: list[dict[str, Any]] = []
    made["outputs"] = outputs
    for output in cell["outputs"]:
        last = outputs[-1] if outputs else {}
        if output["output_type"] != "stream":
            outputs.append(output)
        elif last.get("name") == output["name"]:
            last["text"] += _whole(output["text"])
        else:
            outputs.append({**output, "text": _whole(output["text"])})
    return made


def _whole(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _recognizable(value: str) -> Iterator[str]:
    """Yield the parts of a secret that are no ordinary words."""
    for line in (value, *value.splitlines()):
        has_both = any(map(str.isdigit, line)) and any(map(str.isalpha, line))
        if len(line) >= _SHORTEST_ELSEWHERE and has_both:
            yield line
