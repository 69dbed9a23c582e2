"""Where secrets are in a text, found once in those that come again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

from nbmlops._masking.forms import (
    Span,
    address_spans,
    header_spans,
    pem_spans,
    token_spans,
)
from nbmlops._masking.named_values import named_value_spans

_SHORT = 200


class SpanCache:
    """Where secrets are in the long texts of a notebook that is masked repeatedly.

    Texts are known by their content, and forgotten when they are in the notebook no
    more: `rotate` says that it is masked whole from here on.
    """

    def __init__(self) -> None:
        self._new: dict[str, tuple[Span, ...]] = {}
        self._old: dict[str, tuple[Span, ...]] = {}

    def rotate(self) -> None:
        """Forget the texts that were not asked for since the last rotation."""
        self._old, self._new = self._new, {}

    @contextmanager
    def used(self) -> Iterator[None]:
        """Have the functions that mask use this cache."""
        token = _cache.set(self)
        try:
            yield
        finally:
            _cache.reset(token)

    def spans(self, text: str) -> tuple[Span, ...]:
        """Return where the secrets of a text are."""
        found = self._new.get(text, self._old.get(text))
        if found is None:
            found = tuple(_find_spans(text))
        self._new[text] = found
        return found


_cache: ContextVar[SpanCache | None] = ContextVar("span_cache", default=None)


def spans_of(text: str) -> Iterable[Span]:
    """Return where the secrets of a text are: starts and ends, in no order."""
    if len(text) <= _SHORT:
        return _spans_of_short(text)
    cache = _cache.get()
    return _find_spans(text) if cache is None else cache.spans(text)


@lru_cache(4096)
def _spans_of_short(text: str) -> tuple[Span, ...]:
    """Return the spans of a text that may well come again: a name, a time, a line."""
    return tuple(_find_spans(text))


def _find_spans(text: str) -> Iterator[Span]:
    # What secrets are made of is ASCII; each other letter becomes one "?".
    text = text.encode("ascii", "replace").decode("ascii")
    lowered = text.lower()
    yield from pem_spans(text)
    yield from token_spans(text)
    yield from address_spans(text)
    yield from header_spans(text, lowered)
    yield from named_value_spans(text, lowered)
