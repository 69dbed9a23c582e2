"""What one execution of a cell reads and changes, by name."""

from __future__ import annotations

from dataclasses import dataclass

ANY = "*"
"""Stands among reads or writes for every name there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What one execution of a cell reads and changes."""

    reads: frozenset[str]
    writes: frozenset[str]
    defines: frozenset[str] = frozenset()
    unlikely: frozenset[str] = frozenset()
    must_keep: bool = False


UNKNOWN = Effects(reads=frozenset({ANY}), writes=frozenset({ANY}), must_keep=True)
"""Of a cell that cannot be judged at all."""
NOTHING = Effects(reads=frozenset(), writes=frozenset())
"""Of a cell that was no Python, so that none of it ran."""
