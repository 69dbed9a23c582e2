"""A few words in a frame, with a sentence for whoever asks."""

from __future__ import annotations

from html import escape

OUT_OF_ORDER = "out of order"
# Without variables, which viewers of untrusted notebooks drop; the orange stands out
# from white and from black.
_STYLE = (
    "border:1px solid #f57c00;border-radius:9px;padding:0 7px;font-size:11px;"
    "white-space:nowrap"
)


def order_badge(note: str | None) -> str:
    """Return the badge of a run whose cells ran out of order.

    >>> order_badge(None)
    ''
    """
    if note is None:
        return ""
    return f'<span style="{_STYLE}" title="{escape(note)}">{OUT_OF_ORDER}</span>'
