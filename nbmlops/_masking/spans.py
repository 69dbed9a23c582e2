"""Where secrets are in a text, found once in those that come again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from nbmlops._masking.forms import (
    Span,
    address_spans,
    header_spans,
    pem_spans,
    token_spans,
)
from nbmlops._masking.named_values import named_value_spans

_SHORT, _LONGEST_KEPT = 200, 1_000_000


def spans_of(text: str) -> Sequence[Span]:
    """Return where the secrets of a text are: starts and ends, in no order."""
    if len(text) <= _SHORT:  # a name, a time, a line
        return _spans_of_short(text)
    if len(text) <= _LONGEST_KEPT:  # an output of a notebook that is saved repeatedly
        return _spans_of_long(text)
    return find_spans(text)


@lru_cache(4096)
def _spans_of_short(text: str) -> Sequence[Span]:
    return find_spans(text)


@lru_cache(512)
def _spans_of_long(text: str) -> Sequence[Span]:
    return find_spans(text)


def find_spans(text: str) -> Sequence[Span]:
    """Return the spans of a text that is searched now."""
    # What secrets are made of is ASCII; each other letter becomes one "?".
    text = text.encode("ascii", "replace").decode("ascii")
    lowered = text.lower()
    return (
        *pem_spans(text),
        *token_spans(text),
        *address_spans(text),
        *header_spans(text, lowered),
        *named_value_spans(text, lowered),
    )
