"""What one execution of a cell reads and changes, by name."""

from __future__ import annotations

from dataclasses import dataclass

ANY = "*"
"""Stands among reads or writes for every name there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What one execution of a cell reads and changes.

    Attributes
    ----------
    reads : frozenset of str
        Names whose value from before the cell it may use, those that the functions it
        mentions use included.
    writes : frozenset of str
        Names that it may bind, delete or change the object of.
    defines : frozenset of str
        Names that it binds anew whatever they stood for before.
    unlikely : frozenset of str
        Reads and writes that a replay is made for and no badge is shown for: hardly
        any object changes that way.
    must_keep : bool
        Whether it may matter to later cells in ways that names do not show.
    """

    reads: frozenset[str]
    writes: frozenset[str]
    defines: frozenset[str] = frozenset()
    unlikely: frozenset[str] = frozenset()
    must_keep: bool = False


UNKNOWN = Effects(reads=frozenset({ANY}), writes=frozenset({ANY}), must_keep=True)
"""Of a cell that cannot be judged at all."""
NOTHING = Effects(reads=frozenset(), writes=frozenset())
"""Of a cell that was no Python, so that none of it ran."""
