"""What one execution of a cell reads and changes, by name."""

from __future__ import annotations

from dataclasses import dataclass

ANY = "*"
"""Stands among reads or writes for every name there is."""
WORLD = "<world>"
"""Files and all else that a cell may change beside names."""


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
    kills : frozenset of str
        Names that it binds anew whatever they stood for before.
    stays : bool
        Whether it may matter to later cells in ways that names do not show: it sets an
        option of a library or, when it also writes `WORLD`, does more than that.
    """

    reads: frozenset[str]
    writes: frozenset[str]
    kills: frozenset[str] = frozenset()
    stays: bool = False


UNKNOWN = Effects(
    reads=frozenset({ANY, WORLD}), writes=frozenset({ANY, WORLD}), stays=True
)
"""Of a cell that cannot be judged at all."""
NOTHING = Effects(reads=frozenset(), writes=frozenset())
"""Of a cell that was no Python, so that none of it ran."""
