"""One value as a short text: a number, a time, a duration, a text cut to size."""

from __future__ import annotations

import shutil
import textwrap
from datetime import datetime

WIDEST = 40
"""Characters that a cell of a table has room for."""


def truncate(text: str, most: int = WIDEST) -> str:
    """Return a text of at most so many characters.

    >>> len(truncate("x" * 100)), truncate("short"), truncate("long words", most=5)
    (40, 'short', 'long…')
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def format_number(value: float) -> str:
    """Return a metric's value in at most four significant digits.

    >>> format_number(0.83456), format_number(3.0), format_number(float("nan"))
    ('0.8346', '3', 'nan')
    """
    return f"{value:.4g}"


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> [format_duration(each) for each in (0.21, 42.4, 125, 4000)]
    ['0.2 s', '42 s', '2 min 5 s', '1 h 6 min']
    """
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_bytes(n_bytes: int) -> str:
    """Return a number of bytes in the largest fitting unit.

    >>> [format_bytes(each) for each in (2_140_000_000, 500_000_000, 900)]
    ['2.1 GB', '500 MB', '1 kB']
    """
    for unit, worth in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if n_bytes >= worth:
            digits = 2 if n_bytes < 10 * worth else 3
            return f"{float(f'{n_bytes / worth:.{digits}g}'):g} {unit}"
    return f"{max(round(n_bytes / 1000), 1)} kB"


def format_time(moment: datetime, *, is_short: bool = False) -> str:
    """Return a time in the reader's zone: to the second, or to the minute or day."""
    there = moment.astimezone()
    if not is_short:
        return there.strftime("%Y-%m-%d %H:%M:%S")
    is_this_year = there.year == datetime.now(there.tzinfo).year
    return there.strftime("%m-%d %H:%M" if is_this_year else "%Y-%m-%d")


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "param"), counted(2, "param")
    ('1 param', '2 params')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def terminal_width() -> int:
    """Return how many characters a line of the terminal has; 80 where there is none."""
    return shutil.get_terminal_size().columns


def wrapped(line: str, width: int) -> str:
    """Return a line in as many lines as the width asks for."""
    return textwrap.fill(line, max(width, 20), subsequent_indent="  ")
