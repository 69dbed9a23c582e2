"""Times of a schedule, as cron writes them."""

from __future__ import annotations

import re

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of the month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def cron_problem(text: str) -> str | None:
    """Return what is wrong with a cron expression, or None.

    >>> cron_problem("0 3 * * mon-fri") is None
    True
    >>> cron_problem("61 3 * * *")
    "The minute '61' is not from 0 to 59."
    """
    fields = text.split()
    if len(fields) != 5:
        return (
            f"{text!r} has {len(fields)} fields, not the five of cron: minute, hour, "
            "day of the month, month, day of the week."
        )
    for field, (name, low, high, words) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            match = _PART.fullmatch(part)
            ends = [match[1], match[2]] if match else []
            numbers = [_number(end, low, words) for end in ends if end is not None]
            if match is None or any(n is None or not low <= n <= high for n in numbers):
                return f"The {name} {part!r} is not from {low} to {high}."
            if match[3] is not None and int(match[3]) == 0:
                return f"The {name} {part!r} has a step of 0."
            if len(numbers) == 2 and numbers[0] > numbers[1]:  # type: ignore[operator]
                return f"The {name} {part!r} ends before it begins."
    return None


def _number(text: str, low: int, words: list[str]) -> int | None:
    if text.isdecimal():
        return int(text)
    lowered = text.lower()
    return words.index(lowered) + low if lowered in words else None
